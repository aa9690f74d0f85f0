import type { Failure } from "../runtime/failure.ts";

/** Who caused a failure. `limit`: a time that the configuration sets has elapsed. */
export const FAILURE_SOURCES = ["client", "backend", "limit", "internal"] as const;

/** Why a connection failed: stable codes for machines. */
export const FAILURE_CODES = [
  "untrusted-proxy",
  "proxy-header",
  "handshake-failed",
  "handshake-timeout",
  "handshake-evicted",
  "source-limit",
  "source-rate",
  "client-certificate",
  "client-reset",
  "backend-refused",
  "backend-unreachable",
  "backend-timeout",
  "backend-no-ports",
  "backend-handshake",
  "backend-reset",
  "half-close-timeout",
  "idle-timeout",
  "lifetime",
  "internal-error",
] as const;

/** Who caused a failed connection, a stable code for machines, and the cause for people. */
export interface ConnectionFailure {
  readonly source: (typeof FAILURE_SOURCES)[number];
  readonly code: (typeof FAILURE_CODES)[number];
  readonly cause: string;
}

/** The handshake broke off: the client left, or does not speak our TLS. */
export function handshakeFailed(failure: Failure): ConnectionFailure {
  const isHttp = /^http request$/i.test(failure.message);
  const message = isHttp ? "plain HTTP was sent to the TLS port" : failure.message;
  return unlessInternal({ ...failure, message }, "client", "handshake-failed");
}

/** The client vanished before both directions had ended. */
export function clientLost(failure: Failure): ConnectionFailure {
  return unlessInternal(failure, "client", "client-reset");
}

/** The backend vanished in the middle of its answer. */
export function backendLost(failure: Failure): ConnectionFailure {
  return unlessInternal(failure, "backend", "backend-reset");
}

/** The backend is connected, but its TLS handshake broke off, or it could not be verified. */
export function backendHandshakeFailed(failure: Failure): ConnectionFailure {
  return unlessInternal(failure, "backend", "backend-handshake");
}

/** A connect that fails is told by an errno, a handshake in the TLS library's own words. */
export function isConnectFailure({ code }: Failure): boolean {
  return /^E[A-Z]+$/.test(code) && !HANDSHAKE_ERRNOS.includes(code);
}

/** With these, a connected socket fails. */
const HANDSHAKE_ERRNOS = ["ECONNRESET", "EPIPE", "EPROTO"];

/** The backend could not be reached; `failure.code` is the errno of the connect. */
export function backendUnreachable(failure: Failure): ConnectionFailure {
  switch (failure.code) {
    case "ECONNREFUSED":
      return { source: "backend", code: "backend-refused", cause: "connection refused" };
    case "ETIMEDOUT":
      return { source: "backend", code: "backend-timeout", cause: "no answer to the connect" };
    case "EAGAIN":
      return { source: "backend", code: "backend-refused", cause: "its queue is full" };
    case "EADDRNOTAVAIL":
      return {
        source: "internal",
        code: "backend-no-ports",
        cause: "every local port to this backend is in use; give more addresses with " +
          "--backend-source, or widen net.ipv4.ip_local_port_range",
      };
    default:
      return unlessInternal(failure, "backend", "backend-unreachable");
  }
}

/** The backend cannot be connected, so that the next client would fare no better. */
export function isOutage({ code }: ConnectionFailure): boolean {
  return OUTAGES.has(code);
}

const OUTAGES: ReadonlySet<ConnectionFailure["code"]> = new Set(
  [
    "backend-refused",
    "backend-unreachable",
    "backend-timeout",
    "backend-no-ports",
    "backend-handshake",
  ] as const,
);

/** `ERR_INTERNAL` is what an adapter reports when our own handler threw. */
function unlessInternal(
  failure: Failure,
  source: "client" | "backend",
  code: ConnectionFailure["code"],
): ConnectionFailure {
  return failure.code === "ERR_INTERNAL"
    ? { source: "internal", code: "internal-error", cause: failure.message }
    : { source, code, cause: failure.message };
}
