/** The first argument on the launcher's command line, for internal use. */
export const LAUNCH_ARGUMENT = "@launch";
