import { type Failure, TRUNCATED } from "../runtime/failure.ts";
import { faultText } from "./fault_text.ts";
import { UNKNOWN_CA, wordsFor } from "./verify_words.ts";

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
  "client-left",
  "client-reset",
  "client-truncated",
  "tls-error",
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
  /** The same words on each runtime. */
  readonly cause: string;
  /** The TLS library's own words. */
  readonly detail?: string;
}

/** The handshake failed: the client closed, or did not send acceptable TLS. */
export function handshakeFailed(failure: Failure): ConnectionFailure {
  if (failure.certificate !== undefined) return certificateRejected(failure.certificate);
  const hasLeft = failure.fault === "left" || failure.fault === "early-reset";
  const code = hasLeft ? "client-left" : "handshake-failed";
  return peerFailed(failure, "client", code, "during the handshake");
}

/** The client's certificate is not trusted, for this reason by OpenSSL's name; "": it has none. */
export function certificateRejected(reason: string): ConnectionFailure {
  const cause = reason === "" ? "no certificate" : `certificate not trusted: ${wordsFor(reason)}`;
  return { source: "client", code: "client-certificate", cause };
}

/** The client was lost before both directions had ended. */
export function clientLost(failure: Failure): ConnectionFailure {
  if (failure.code === TRUNCATED) return peerFailed(failure, "client", "client-truncated");
  return peerFailed(failure, "client", failure.fault ? "tls-error" : "client-reset");
}

/** The backend was lost in the middle of its answer. */
export function backendLost(failure: Failure): ConnectionFailure {
  if (failure.code === TRUNCATED) return peerFailed(failure, "backend", "backend-truncated");
  return peerFailed(failure, "backend", failure.fault ? "tls-error" : "backend-reset");
}

/** A TLS backend ended its answer in a way that anybody on the network can fake. */
export const backendTruncated: ConnectionFailure = {
  source: "backend",
  code: "backend-truncated",
  cause: "it closed without close_notify, so its answer may be incomplete",
};

/** The backend is connected, but its TLS handshake failed, or it could not be verified. */
export function backendHandshakeFailed(failure: Failure): ConnectionFailure {
  const code = "backend-handshake";
  const { certificate, message: detail } = failure;
  if (certificate === undefined) {
    return peerFailed(failure, "backend", code, "during the handshake");
  }
  return { source: "backend", code, cause: distrustOf(certificate, detail), detail };
}

function distrustOf(reason: string, message: string): string {
  if (reason === "HOSTNAME_MISMATCH") return `${message}; set --backend-name`;
  const words = wordsFor(reason, "servers");
  const remedy = words === UNKNOWN_CA ? "; add it to --client-verify-ca" : "";
  return `the backend's certificate is not trusted: ${words}${remedy}`;
}

/** The client opened the connection and left again, as health checks do: nobody needs to act. */
export function clientLeft(cause: string): ConnectionFailure {
  return { source: "client", code: "client-left", cause };
}

/** A failed connect has an errno as its code, a failed handshake the TLS library's own code. */
export function isConnectFailure({ code, fault }: Failure): boolean {
  return !fault && /^E[A-Z]+$/.test(code) && !HANDSHAKE_ERRNOS.includes(code);
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
      return peerFailed(failure, "backend", "backend-unreachable");
  }
}

/** Returns true if the client's TLS handshake failed; who leaves before it has begun none. */
export function isHandshakeFailure({ code }: Pick<ConnectionFailure, "code">): boolean {
  return HANDSHAKE_FAILURES.has(code);
}

const HANDSHAKE_FAILURES: ReadonlySet<ConnectionFailure["code"]> = new Set(
  ["handshake-failed", "handshake-timeout", "handshake-evicted", "client-certificate"] as const,
);

/** Returns true if the backend cannot be connected, so that other clients fail as well. */
export function isOutage({ code }: Pick<ConnectionFailure, "code">): boolean {
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

/** An adapter reports `ERR_INTERNAL` if a stream handler threw. `when` follows the cause. */
function peerFailed(
  failure: Failure,
  source: "client" | "backend",
  code: ConnectionFailure["code"],
  when = "",
): ConnectionFailure {
  const { message } = failure;
  if (failure.code === "ERR_INTERNAL") {
    return { source: "internal", code: "internal-error", cause: message };
  }
  const cause = faultText(failure, source, when);
  if (cause === undefined) return { source, code, cause: message };
  return { source, code, cause, ...(failure.fault ? { detail: message } : {}) };
}
