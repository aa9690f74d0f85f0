/** The first argument on the admin endpoint helper's command line, for internal use. */
export const ADMIN_ARGUMENT = "@admin";
/** The descriptor of its first listening socket; the others follow. */
export const FIRST_ADMIN_FD = 4;
