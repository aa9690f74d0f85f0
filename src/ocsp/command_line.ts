/** The first argument on the OCSP helper's command line, for internal use. */
export const OCSP_ARGUMENT = "@ocsp";
