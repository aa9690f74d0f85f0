/** The first argument of the OCSP helper's command line: no user types it. */
export const OCSP_ARGUMENT = "@ocsp";
