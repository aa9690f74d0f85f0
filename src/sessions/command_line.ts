/** The first argument on the session peers' helper's command line, for internal use. */
export const PEERS_ARGUMENT = "@peers";
/** The descriptor of its UDP socket. */
export const PEERS_SOCKET_FD = 4;
