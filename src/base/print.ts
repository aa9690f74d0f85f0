/** Output of a command that does not serve: on Deno, `console` throws if it cannot write. */
import { writeSync } from "node:fs";
import { block } from "./block.ts";
import { errorText } from "./error_text.ts";
import { UsageError } from "./errors.ts";

const STANDARD_OUTPUT = 1;
const STANDARD_ERROR = 2;
const POLL_MS = 5;

/**
 * Writes a text to standard output. Waits while a pipe is full. Throws a UsageError if it cannot be
 * written; a reader that has closed the pipe is no error.
 */
export function print(text: string): void {
  try {
    write(STANDARD_OUTPUT, text);
  } catch (error) {
    throw new UsageError(`standard output: ${errorText(error)}; the output is incomplete`);
  }
}

/** Writes a line to standard error, or nothing if that is impossible. */
export function printError(line: string): void {
  try {
    write(STANDARD_ERROR, `${line}\n`);
  } catch {
    // The exit code says so too.
  }
}

function write(fd: number, text: string): void {
  for (let rest = Buffer.from(text); rest.length > 0;) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      const { code } = error as { readonly code?: string };
      if (code === "EPIPE") return;
      if (code !== "EAGAIN" && code !== "EINTR") throw error;
      block(POLL_MS);
    }
  }
}
