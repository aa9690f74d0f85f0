/** The queue of a listening socket, and how to empty it without losing a connection. */
import { setOption } from "./socket_options.ts";
import { readCInt } from "./structures.ts";
import { cInt } from "./structures.ts";
import { TCP_INFO } from "./constants.ts";
import { IPPROTO_TCP } from "./constants.ts";
import { SO_BINDTOIFINDEX } from "./constants.ts";
import { SOL_SOCKET } from "./constants.ts";
import type { Libc } from "./libc.ts";

/** An interface index that no machine has. */
const NO_INTERFACE = 0x7fffffff;
/** shutdown(2); the queue of a listening Unix socket can still be accepted from. */
const SHUT_RD = 0;
/** Offset in `struct tcp_info`, where a listening socket has the length of its queue (tcp(7)). */
const UNACKED_OFFSET = 24;
const TCP_INFO_SIZE = UNACKED_OFFSET + 4;
/** Milliseconds between two checks of a queue. */
const CHECK_INTERVAL_MS = 10;
/** Milliseconds that clients have to finish a TCP handshake in progress. */
const TCP_HANDSHAKE_MS = 200;

/**
 * Refuses new TCP connections to a listening socket; those in progress or in its queue can still be
 * accepted. This affects the socket in all processes and cannot be undone: the socket is bound to an
 * interface that does not exist, so no SYN reaches it.
 */
export function refuseNew(libc: Libc, fd: number): void {
  setOption(libc, fd, { level: SOL_SOCKET, option: SO_BINDTOIFINDEX, value: NO_INTERFACE });
}

/**
 * Does the same for a Unix socket, which its workers' event loops find readable from then on: close
 * it soon.
 */
export function refuseNewUnix(libc: Libc, fd: number): void {
  libc.shutdown(fd, SHUT_RD);
}

/** Returns the number of connections in a listening TCP socket's queue; 0 for other sockets. */
export function queueLength(libc: Libc, fd: number): number {
  const info = new Uint8Array(TCP_INFO_SIZE);
  if (libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, cInt(info.length)) !== 0) return 0;
  return readCInt(info.subarray(UNACKED_OFFSET));
}

/**
 * Fulfilled when the queues of sockets that are still accepted from are empty, or after `limitMs`
 * milliseconds, not counting the time in which this process did not run. Not before `minMs`, since
 * clients may still be connecting.
 */
export async function queuesEmptied(
  libc: Libc,
  fds: readonly number[],
  limitMs: number,
  minMs = TCP_HANDSHAKE_MS,
): Promise<void> {
  const start = performance.now();
  for (let checks = 0; checks * CHECK_INTERVAL_MS < limitMs; checks++) {
    const waited = performance.now() - start;
    if (waited >= minMs && fds.every((fd) => queueLength(libc, fd) === 0)) return;
    await new Promise((resolve) => setTimeout(resolve, CHECK_INTERVAL_MS));
  }
}
