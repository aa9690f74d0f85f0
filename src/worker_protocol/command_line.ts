/** The first argument of a worker, before its slot and generation; internal, users do not type it. */
export const WORKER_ARGUMENT = "@worker";

/** The descriptor of the certificate store, read-only. */
export const STORE_FD = 4;

/** The first descriptor of a worker's inherited listening sockets; the others follow it. */
export const FIRST_SOCKET_FD = 5;
