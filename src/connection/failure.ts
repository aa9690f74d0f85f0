import { type Failure, TRUNCATED } from "../runtime/failure.ts";

/** Who caused a failure. `limit`: a configured time has elapsed. */
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
  "client-truncated",
  "backend-refused",
  "backend-unreachable",
  "backend-timeout",
  "backend-no-ports",
  "backend-handshake",
  "backend-reset",
  "backend-truncated",
  "half-close-timeout",
  "idle-timeout",
  "lifetime",
  "internal-error",
] as const;

/** Why a connection failed: who caused it, a stable code for machines, the cause for people. */
export interface ConnectionFailure {
  readonly source: (typeof FAILURE_SOURCES)[number];
  readonly code: (typeof FAILURE_CODES)[number];
  readonly cause: string;
}

/** The handshake failed: the client closed, or did not send acceptable TLS. */
export function handshakeFailed(failure: Failure): ConnectionFailure {
  const isHttp = /^http request$/i.test(failure.message);
  const message = isHttp ? "plain HTTP was sent to the TLS port" : failure.message;
  return unlessInternal({ ...failure, message }, "client", "handshake-failed");
}

/** The client was lost before both directions had ended. */
export function clientLost(failure: Failure): ConnectionFailure {
  const code = failure.code === TRUNCATED ? "client-truncated" : "client-reset";
  return unlessInternal(failure, "client", code);
}

/** The backend was lost in the middle of its answer. */
export function backendLost(failure: Failure): ConnectionFailure {
  const code = failure.code === TRUNCATED ? "backend-truncated" : "backend-reset";
  return unlessInternal(failure, "backend", code);
}

/** A TLS backend ended its answer in a way that anybody on the network can fake. */
export const backendTruncated: ConnectionFailure = {
  source: "backend",
  code: "backend-truncated",
  cause: "it closed without close_notify, so its answer may be incomplete",
};

/** The backend is connected, but its TLS handshake failed, or it could not be verified. */
export function backendHandshakeFailed(failure: Failure): ConnectionFailure {
  return unlessInternal(failure, "backend", "backend-handshake");
}

/** A failed connect has an errno as its code, a failed handshake the TLS library's own code. */
export function isConnectFailure({ code }: Failure): boolean {
  return /^E[A-Z]+$/.test(code) && !HANDSHAKE_ERRNOS.includes(code);
}

/** Errno codes of a connected socket. */
const HANDSHAKE_ERRNOS = ["ECONNRESET", "EPIPE", "EPROTO"];

/** The backend could not be reached; `failure.code` is the errno of the connect. */
export function backendUnreachable(failure: Failure): ConnectionFailure {
  switch (failure.code) {
    case "ECONNREFUSED":
      return { source: "backend", code: "backend-refused", cause: "connection refused" };
    case "ETIMEDOUT":
      return { source: "backend", code: "backend-timeout", cause: "connection timed out" };
    case "EAGAIN":
      return { source: "backend", code: "backend-refused", cause: "its listen queue is full" };
    case "EADDRNOTAVAIL":
      return {
        source: "internal",
        code: "backend-no-ports",
        cause: "all local ports for this backend are in use; add addresses with " +
          "--backend-source, or widen net.ipv4.ip_local_port_range",
      };
    default:
      return unlessInternal(failure, "backend", "backend-unreachable");
  }
}

/** Returns true if the backend cannot be connected, so that other clients fail as well. */
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

/** An adapter reports `ERR_INTERNAL` if a stream handler threw. */
function unlessInternal(
  failure: Failure,
  source: "client" | "backend",
  code: ConnectionFailure["code"],
): ConnectionFailure {
  return failure.code === "ERR_INTERNAL"
    ? { source: "internal", code: "internal-error", cause: failure.message }
    : { source, code, cause: failure.message };
}
