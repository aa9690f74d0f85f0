/** The first argument on the access log helper's command line, for internal use. */
export const ACCESS_LOG_ARGUMENT = "@access-log";

/** The descriptor from which the helper reads lines. */
export const PIPE_FD = 4;

/** The descriptor to which it writes them, if that is standard output. */
export const OUTPUT_FD = 5;
