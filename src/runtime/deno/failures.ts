/** Deno's errors in the words of the contract. */
import type { Failure } from "../failure.ts";

/** What Deno's error classes stand for where an error carries no `code`. */
const errnoNames: Readonly<Record<string, string>> = {
  AddrInUse: "EADDRINUSE",
  AddrNotAvailable: "EADDRNOTAVAIL",
  BrokenPipe: "EPIPE",
  ConnectionAborted: "ECONNABORTED",
  ConnectionRefused: "ECONNREFUSED",
  ConnectionReset: "ECONNRESET",
  InvalidData: "EPROTO",
  NetworkUnreachable: "ENETUNREACH",
  NotConnected: "ENOTCONN",
  PermissionDenied: "EACCES",
  TimedOut: "ETIMEDOUT",
  UnexpectedEof: "ECONNRESET",
};

export function failureOf(error: unknown): Failure {
  const { code } = error as { code?: unknown };
  if (typeof code === "string") return { code, message: messageOf(error) };
  return { code: errnoNames[nameOf(error)] ?? "EIO", message: messageOf(error) };
}

/** Where it was not the network that failed, rustls' own words say most. */
export function handshakeFailureOf(error: unknown): Failure {
  const failure = failureOf(error);
  if (!/^(EPROTO|EIO)$/.test(failure.code)) return failure;
  if (failure.message === REJECTED_NAME) {
    return { code: "ERR_INTERNAL", message: "its certificate could not be chosen" };
  }
  return { code: failure.message, message: failure.message };
}

/**
 * UNDOCUMENTED: all that Deno tells of a name for which the resolver threw, now or before; rustls has
 * words of its own for everything else. tests/unit/runtime_faults.test.ts covers it.
 */
const REJECTED_NAME = "invalid data";

/** FIN where TLS wants close_notify first. */
export function isUnexpectedEof(error: unknown): boolean {
  return nameOf(error) === "UnexpectedEof";
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
