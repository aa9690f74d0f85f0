import { forOption, UsageError } from "../base/errors.ts";
import { readFile } from "../base/read_file.ts";
import { SECRET_LENGTH } from "./ring.ts";

const MAX_BYTES = 4096;
/** Minimum number of different bytes; random bytes, or base64 of them, have more. */
const MIN_VARIETY = 12;
const REMEDY = "make one with: stud --new-ticket-secret";

/**
 * Reads the secret in a file: all its bytes except a line break at the end. Throws a UsageError if
 * it cannot be read, is too weak, or can be read by other users.
 */
export function readTicketSecret(path: string): Uint8Array {
  const fail = (reason: string): never => {
    throw new UsageError(`--ticket-secret-file: ${path}: ${reason}`);
  };
  const bytes = forOption(
    "--ticket-secret-file",
    () => readFile(path, { isSecret: true, maxBytes: MAX_BYTES, expected: "a file with a secret" }),
  );
  const secret = bytes.at(-1) === LINE_BREAK ? bytes.subarray(0, -1) : bytes;
  if (secret.length < SECRET_LENGTH) {
    fail(`${secret.length} bytes are too few, ${SECRET_LENGTH} are needed; ${REMEDY}`);
  }
  if (new Set(secret).size < MIN_VARIETY) fail(`it can be guessed; ${REMEDY}`);
  return secret;
}

const LINE_BREAK = 0x0a;
