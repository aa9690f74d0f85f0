import { writeSync } from "node:fs";
import { errorText } from "./error_text.ts";
import { UsageError } from "./errors.ts";

const POLL_MS = 5;

/**
 * Writes a text to standard output. Waits while a pipe is full. Throws a UsageError if it cannot be
 * written; a reader that has gone wanted no more of it.
 */
export function print(text: string): void {
  for (let rest = Buffer.from(text); rest.length > 0;) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      const { code } = error as { readonly code?: string };
      if (code === "EPIPE") return;
      if (code !== "EAGAIN" && code !== "EINTR") {
        throw new UsageError(`standard output: ${errorText(error)}; nothing else was done`);
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
    }
  }
}
