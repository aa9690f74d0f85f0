/** The first argument on the ticket store helper's command line, for internal use. */
export const STORE_ARGUMENT = "@ticket-store";
