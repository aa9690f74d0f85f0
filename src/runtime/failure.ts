import { raise } from "../base/raise.ts";

/**
 * Why a stream ended before its time. `code` is an errno name (`ECONNRESET`, `ECONNREFUSED`, …)
 * or, for a failed handshake, the TLS library's reason in its own words; `message` is for people.
 */
export interface Failure {
  readonly code: string;
  readonly message: string;
}

/** Reports an error of the core; returns the failure of the stream that is reset for it. */
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
