/** Deno's errors in the form of the contract. */
import { type Failure, wrongName } from "../failure.ts";
import { tlsFault } from "../tls_fault.ts";

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
  const message = messageOf(error);
  // All errors of rustls; a write after the peer's alert fails with it under another name.
  if (nameOf(error) === "InvalidData" && typeof code !== "string" || message.startsWith(ALERT)) {
    return { code: "EPROTO", message, fault: tlsFault(message) };
  }
  if (typeof code === "string") return { code, message };
  return { code: errnoNames[nameOf(error)] ?? "EIO", message };
}

/** If it was not the network that failed, the code is rustls' own message, which says most. */
export function handshakeFailureOf(error: unknown): Failure {
  const failure = failureOf(error);
  // With several certificates Deno does not wait for the rest of a ClientHello; see `hello_watch.ts`.
  if (/^operation would block/i.test(failure.message)) {
    return {
      code: "EAGAIN",
      message: "its ClientHello came in more segments than Deno can wait for",
    };
  }
  if (!/^(EPROTO|EIO)$/.test(failure.code)) return failure;
  if (failure.message === REJECTED_NAME) {
    return { code: "ERR_INTERNAL", message: "its certificate could not be selected" };
  }
  const { message } = failure;
  return distrust(message) ?? { code: message, message, fault: tlsFault(message) };
}

/** Returns the failure of a backend whose certificate rustls rejects; undefined for any other message. */
function distrust(message: string): Failure | undefined {
  const reason = /^invalid peer certificate: (.+)$/s.exec(message)?.[1];
  if (reason === undefined) return undefined;
  const name = /^certificate not valid for name "([^"]*)"/.exec(reason)?.[1];
  if (name !== undefined) return wrongName(name);
  const known = reasons.find(([pattern]) => pattern.test(reason));
  return { code: message, certificate: known?.[1] ?? reason, message };
}

/** OpenSSL's names for the reasons of rustls. */
const reasons: readonly (readonly [RegExp, string])[] = [
  [/^UnknownIssuer/, "UNABLE_TO_GET_ISSUER_CERT"],
  [/^(Expired|certificate expired)/, "CERT_HAS_EXPIRED"],
  [/^(NotValidYet|certificate not valid yet)/, "CERT_NOT_YET_VALID"],
  [/^BadSignature/, "CERT_SIGNATURE_FAILURE"],
  [/CaUsedAsEndEntity/, "CA_USED_AS_END_ENTITY"],
  [/^(InvalidPurpose|certificate does not allow extended key usage)/, "INVALID_PURPOSE"],
];

const ALERT = "received fatal alert: ";

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
