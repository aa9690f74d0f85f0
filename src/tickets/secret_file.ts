import { closeSync, fstatSync, openSync, readFileSync, statSync } from "node:fs";
import { UsageError } from "../base/errors.ts";
import { errorText } from "../os/error_text.ts";
import { SECRET_LENGTH } from "./ring.ts";

const MAX_BYTES = 4096;
/** Random bytes, or base64 of them, have more different ones than that. */
const MIN_VARIETY = 12;
const REMEDY = "make one with: stud --new-ticket-secret";

/**
 * The secret in a file: all its bytes, but for a line break at the end. Throws a UsageError when it
 * cannot be read, is no secret, or is known to others than its owner.
 */
export function readTicketSecret(path: string): Uint8Array {
  const fail = (reason: string): never => {
    throw new UsageError(`--ticket-secret-file: ${path}: ${reason}`);
  };
  let bytes: Buffer;
  try {
    // To open a pipe would wait for its other end.
    if (!statSync(path).isFile()) fail(`it is no file; ${REMEDY}`);
    const fd = openSync(path, "r");
    try {
      const { mode, size } = fstatSync(fd);
      if (mode & 0o077) fail(`others can read it; restrict it with: chmod 600 ${path}`);
      if (size > MAX_BYTES) fail(`${size} bytes are no secret; give at most ${MAX_BYTES}`);
      bytes = readFileSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    return fail(errorText(error));
  }
  const secret = bytes.at(-1) === LINE_BREAK ? bytes.subarray(0, -1) : bytes;
  if (secret.length < SECRET_LENGTH) {
    fail(`${secret.length} bytes are too few, ${SECRET_LENGTH} are needed; ${REMEDY}`);
  }
  if (new Set(secret).size < MIN_VARIETY) fail(`it can be guessed; ${REMEDY}`);
  return secret;
}

const LINE_BREAK = 0x0a;
