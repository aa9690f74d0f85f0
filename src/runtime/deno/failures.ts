/** Deno's errors in the form of the contract. */
import type { Failure } from "../failure.ts";

/** The errno names of Deno's error classes, for errors without a `code`. */
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

/** If it was not the network that failed, the code is rustls' own message, which says most. */
export function handshakeFailureOf(error: unknown): Failure {
  const failure = failureOf(error);
  if (!/^(EPROTO|EIO)$/.test(failure.code)) return failure;
  if (failure.message === REJECTED_NAME) {
    return { code: "ERR_INTERNAL", message: "its certificate could not be selected" };
  }
  if (failure.message.includes(ODD_NAME)) {
    return { code: "ERR_SERVER_NAME", message: ODD_NAME_REASON };
  }
  return { code: failure.message, message: failure.message };
}

/** rustls sends `illegal_parameter` for a host_name that is not a DNS name (RFC 6066 section 3). */
const ODD_NAME = "ServerNameMustContainOneHostName";
const ODD_NAME_REASON = "the server name (SNI) is not a DNS name, which rustls refuses: it has a " +
  "port or another character, an empty label, or a last label of digits only";

/**
 * UNDOCUMENTED: all that Deno reports for a name for which the resolver threw, now or before; rustls
 * has other messages for everything else. tests/unit/runtime_faults.test.ts covers it.
 */
const REJECTED_NAME = "invalid data";

/** Whether the error is a FIN without close_notify. */
export function isUnexpectedEof(error: unknown): boolean {
  return nameOf(error) === "UnexpectedEof";
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
