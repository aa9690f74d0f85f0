import { raise } from "../base/raise.ts";

/**
 * Why a stream failed. `code` is an errno name (`ECONNRESET`, `ECONNREFUSED`, …) or, for a failed
 * handshake, the TLS library's own reason; `message` is for people.
 */
export interface Failure {
  readonly code: string;
  readonly message: string;
}

/** The code of an end within a TLS record: something is missing. */
export const TRUNCATED = "ERR_TRUNCATED";

/** Raises an error of the core; returns the failure of the stream that is reset for it. */
export function internalFailure(error: unknown): Failure {
  raise(error);
  return {
    code: "ERR_INTERNAL",
    message: firstLine(error instanceof Error ? error.message : error),
  };
}

export function firstLine(text: unknown): string {
  return String(text).split("\n", 1)[0]!;
}
