/** The queue of a listening socket, and how to empty it without losing a connection. */
import { setOption } from "./socket_options.ts";
import { queueLength } from "./tcp_info.ts";
import { SO_BINDTOIFINDEX } from "./constants.ts";
import { SOL_SOCKET } from "./constants.ts";
import type { Libc } from "./libc.ts";

/** An interface index that no machine has. */
const NO_INTERFACE = 0x7fffffff;
/** shutdown(2); the queue of a listening Unix socket can still be accepted from. */
const SHUT_RD = 0;
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
