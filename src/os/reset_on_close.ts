/** Sockets that end with RST instead of FIN, so that the peer sees that something is missing. */
import { AF_INET, AF_INET6, SO_LINGER, SOL_SOCKET } from "./constants.ts";
import type { Libc } from "./libc.ts";
import { SOCKADDR_SIZE } from "./sockaddr.ts";
import { cInt } from "./structures.ts";

/** `struct linger`: on, with 0 seconds. */
const ON = new Uint8Array([...cInt(1), ...cInt(0)]);
const OFF = new Uint8Array([...cInt(0), ...cInt(0)]);
/** With so many unused numbers in a row, no descriptor follows: the kernel assigns the lowest. */
const MAX_GAP = 4096;

/**
 * Makes a TCP socket send RST when its last descriptor closes, also if that is because the process
 * was killed; bytes that the peer has not acknowledged are dropped. Has no effect on a Unix
 * socket, which has no RST.
 */
export function resetOnClose(libc: Libc, fd: number): void {
  libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, ON, ON.length);
}

/** Undoes {@link resetOnClose}: the kernel delivers what was written, and FIN. */
export function finishOnClose(libc: Libc, fd: number): void {
  libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, OFF, OFF.length);
}

/** Calls {@link resetOnClose} for all connected TCP sockets of this process, which is about to exit. */
export function resetAllOnExit(libc: Libc): void {
  const address = new Uint8Array(SOCKADDR_SIZE);
  const family = new Uint16Array(address.buffer, 0, 1);
  for (let fd = 0, gap = 0; gap < MAX_GAP; fd++, gap++) {
    // It fails for a listening socket, whose options others inherit.
    if (libc.getpeername(fd, address, cInt(SOCKADDR_SIZE)) !== 0) continue;
    gap = 0;
    if (family[0] === AF_INET || family[0] === AF_INET6) resetOnClose(libc, fd);
  }
}
