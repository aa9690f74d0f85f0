import { raise } from "../base/raise.ts";
import type { TlsFault } from "./tls_fault.ts";

/**
 * Why a stream failed. `code` is an errno name (`ECONNRESET`, `ECONNREFUSED`, …) or, for a failed
 * handshake, the TLS library's own reason; `message` is for people.
 */
export interface Failure {
  readonly code: string;
  readonly message: string;
  /**
   * The handshake ended because of the peer's certificate: the reason by OpenSSL's name, as in
   * `PeerCertificate.verifyError`, or "" if there was no certificate.
   */
  readonly certificate?: string;
  /** Set if it is a fault of TLS, or of a peer that left before the end of its handshake. */
  readonly fault?: TlsFault;
  /** At most {@link MAX_RECEIVED} bytes of a peer that does not speak TLS, if the runtime shows them. */
  readonly received?: Uint8Array;
}

/** Returns the failure of a backend whose certificate is not for `name`, which "" replaces if there is none. */
export function wrongName(name: string): Failure {
  const code = "HOSTNAME_MISMATCH";
  const message = name === ""
    ? "there is no name to check the backend's certificate against"
    : `the backend's certificate is not valid for ${name}`;
  return { code, certificate: code, message };
}

/** The code of an end within a TLS record: something is missing. */
export const TRUNCATED = "ERR_TRUNCATED";
/** Bytes that are kept of a peer that does not speak TLS, to name its protocol. */
export const MAX_RECEIVED = 64;

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
