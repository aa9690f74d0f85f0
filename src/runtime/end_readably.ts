import { TimeoutQueue } from "../base/timeout_queue.ts";
import { SHUT_WR } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";

/** Time for which a connection is held, in seconds. */
const HOLD = 1;
/** Maximum number of connections that are held: descriptors beyond the counted ones. */
const MAX_HELD = 16;

/**
 * Sends FIN, and holds a copy of the descriptor for a second, so that a close right after it does not
 * send RST for what the peer is still sending: some peers would lose what they have not yet read,
 * such as a TLS alert.
 */
export function endReadably(libc: Libc, fd: number): void {
  held ??= new TimeoutQueue<number>(HOLD, (copy) => libc.close(copy));
  libc.shutdown(fd, SHUT_WR);
  if (held.size >= MAX_HELD) return;
  const copy = libc.dup(fd);
  if (copy >= 0) held.start(copy);
}

let held: TimeoutQueue<number> | undefined;
