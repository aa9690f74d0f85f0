import { POLLIN } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import { pollEntry } from "../os/structures.ts";

const NEWLINE = 10;
const READ_SIZE = 64 * 1024;

/** Reads what is left in a pipe, without waiting, and returns the number of its lines. */
export function unreadLines(libc: Libc, pipe: number): number {
  const bytes = new Uint8Array(READ_SIZE);
  let lines = 0;
  // The descriptor may block: on Deno a child process that inherits it makes it so.
  while (libc.poll(pollEntry(pipe, POLLIN), 1, 0) > 0) {
    const length = libc.read(pipe, bytes, bytes.length);
    if (length <= 0) break;
    for (const byte of bytes.subarray(0, length)) if (byte === NEWLINE) lines++;
  }
  return lines;
}
