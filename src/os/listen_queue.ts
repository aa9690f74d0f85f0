/** What waits in a listening socket, and how it is emptied without losing a connection. */
import { setOption } from "./socket_options.ts";
import { readCInt } from "./structures.ts";
import { cInt } from "./structures.ts";
import { TCP_INFO } from "./constants.ts";
import { IPPROTO_TCP } from "./constants.ts";
import { SO_BINDTOIFINDEX } from "./constants.ts";
import { SOL_SOCKET } from "./constants.ts";
import type { Libc } from "./libc.ts";

/** No machine has an interface of this number. */
const NOWHERE = 0x7fffffff;
/** shutdown(2); of a listening Unix socket, whose queue can still be accepted from. */
const SHUT_RD = 0;
/** Of `struct tcp_info`: a listening socket has the length of its queue there (tcp(7)). */
const UNACKED_OFFSET = 24;
const TCP_INFO_SIZE = UNACKED_OFFSET + 4;
/** Milliseconds between two looks at a queue. */
const PAUSE_MS = 10;
/** Clients whose handshake of TCP is under way get this long to end it, in milliseconds. */
const LATECOMERS_MS = 200;

/**
 * Refuses new TCP connections to a socket that goes on listening: those that are under way or wait
 * in its queue can still be accepted. It holds for the socket in all processes, and for good: bound
 * to an interface that does not exist, no SYN finds it any more.
 */
export function refuseNew(libc: Libc, fd: number): void {
  setOption(libc, fd, { level: SOL_SOCKET, option: SO_BINDTOIFINDEX, value: NOWHERE });
}

/**
 * The same for a Unix socket. Its workers' event loops find it readable from now on: close it soon.
 */
export function refuseNewUnix(libc: Libc, fd: number): void {
  libc.shutdown(fd, SHUT_RD);
}

/** How many connections wait in a listening TCP socket to be accepted; 0 for any other socket. */
export function queueLength(libc: Libc, fd: number): number {
  const info = new Uint8Array(TCP_INFO_SIZE);
  if (libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, cInt(info.length)) !== 0) return 0;
  return readCInt(info.subarray(UNACKED_OFFSET));
}

/**
 * Fulfilled when nothing waits any more in sockets that somebody still accepts from, or after
 * `limitMs` milliseconds, in which those do not count that this process itself was held up. Before
 * `minMs` clients that are on their way may still come.
 */
export async function queuesEmptied(
  libc: Libc,
  fds: readonly number[],
  limitMs: number,
  minMs = LATECOMERS_MS,
): Promise<void> {
  const start = performance.now();
  for (let looks = 0; looks * PAUSE_MS < limitMs; looks++) {
    const waited = performance.now() - start;
    if (waited >= minMs && fds.every((fd) => queueLength(libc, fd) === 0)) return;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
