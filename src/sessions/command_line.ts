/** The first argument of the session peers' helper: no user types it. */
export const PEERS_ARGUMENT = "@peers";
/** Where it finds its UDP socket. */
export const PEERS_SOCKET_FD = 4;
