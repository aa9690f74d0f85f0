import { raise } from "../base/raise.ts";

/**
 * Why a stream ended before its time. `code` is an errno name (`ECONNRESET`, `ECONNREFUSED`, …)
 * or, for a failed handshake, the TLS library's reason in its own words; `message` is for people.
 */
export interface Failure {
  readonly code: string;
  readonly message: string;
}

/** Reports what the core threw, and returns why the stream that met it is reset: `ERR_INTERNAL`. */
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
