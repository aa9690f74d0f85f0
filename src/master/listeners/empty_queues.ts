import type { Libc } from "../../os/libc.ts";
import { queuesEmptied } from "../../os/listen_queue.ts";

/**
 * Maximum time to wait for a queue that no worker empties, in milliseconds. If a worker hangs, it
 * takes two seconds until another one serves its queue.
 */
const QUEUE_LIMIT_MS = 5000;

/**
 * Waits until workers have accepted what waits in these listening sockets, which refuse new
 * connections, or for five seconds.
 */
export async function emptyQueues(libc: Libc, fds: readonly number[]): Promise<void> {
  if (fds.length > 0) await queuesEmptied(libc, fds, QUEUE_LIMIT_MS);
}
