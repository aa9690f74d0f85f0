/**
 * Ways to end a connection after a TLS alert, so that its peer can read the alert: a close with unread
 * bytes would send RST, for which many peers drop what they have not yet read.
 */
import { TimeoutQueue } from "../base/timeout_queue.ts";
import { MSG_DONTWAIT, SHUT_WR } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";

const unread = new Uint8Array(65_536);
/** Reads of what one peer has sent, at most 1 MiB. */
const MAX_READS = 16;

/**
 * Sends FIN and drops what has been received; the caller closes the descriptor. What the peer sends
 * after that still causes RST.
 */
export function endInOrder(libc: Libc, fd: number): void {
  libc.shutdown(fd, SHUT_WR);
  for (let i = 0; i < MAX_READS; i++) {
    if (libc.recv(fd, unread, unread.length, MSG_DONTWAIT) <= 0) return;
  }
}

/** Time for which a connection is held, in seconds. */
const HOLD = 1;
/** Maximum number of connections that are held: descriptors beyond the counted ones. */
const MAX_HELD = 16;

/**
 * Sends FIN and holds a copy of the descriptor for a second; the caller closes the original. For a
 * peer that is still sending, such as a client of TLS 1.3 whose handshake is complete for it.
 */
export function endReadably(libc: Libc, fd: number): void {
  held ??= new TimeoutQueue<number>(HOLD, (copy) => libc.close(copy));
  libc.shutdown(fd, SHUT_WR);
  if (held.size >= MAX_HELD) return;
  const copy = libc.dup(fd);
  if (copy >= 0) held.start(copy);
}

let held: TimeoutQueue<number> | undefined;
