/** The first argument of a worker's command line, followed by its slot and generation: no user types it. */
export const WORKER_ARGUMENT = "@worker";

/** The descriptor of the certificate store, for reading. */
export const STORE_FD = 4;

/** A worker's inherited listening sockets have this descriptor and the ones after it. */
export const FIRST_SOCKET_FD = 5;
