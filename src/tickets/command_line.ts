/** The first argument of the ticket store helper's command line: no user types it. */
export const STORE_ARGUMENT = "@ticket-store";
