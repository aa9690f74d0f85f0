import { constants, openSync } from "node:fs";
import { FIONBIO } from "../os/constants.ts";
import { descriptorPath } from "../os/descriptors.ts";
import type { Libc } from "../os/libc.ts";
import { cInt } from "../os/structures.ts";

const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK | constants.O_NOCTTY;

/**
 * Returns a non-blocking descriptor for what an inherited one writes to. Other processes share the
 * inherited one, and Deno makes it blocking again for all of them when it passes it to a child. Call
 * it before privileges are dropped.
 */
export function reopenedForWriting(fd: number): number | undefined {
  try {
    return openSync(descriptorPath(fd), FLAGS);
  } catch {
    // A socket, or there is no /proc.
    return undefined;
  }
}

/** The same for a pipe of this program's own. */
export function nonBlockingPipe(libc: Libc, fd: number): number {
  const own = reopenedForWriting(fd);
  if (own === undefined) libc.ioctl(fd, FIONBIO, cInt(1));
  return own ?? fd;
}
