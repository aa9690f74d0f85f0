/** Bun's errors in the form of the contract. */
import { type Received, received } from "../../os/tcp_info.ts";
import { endInOrder } from "../end_after_alert.ts";
import { type Failure, MAX_RECEIVED } from "../failure.ts";
import { clearAlert, type TlsFault, tlsFault, UNREAD_ALERT } from "../tls_fault.ts";
import { lastRead } from "./last_read.ts";
import { libc } from "./libc.ts";
import type { NativeError, NativeSocket } from "./native.ts";

/**
 * Returns why a handshake failed, in BoringSSL's words; undefined if it was completed. Ends a failed
 * one in order, so that the peer can read the alert.
 */
export function handshakeFailure(
  ok: boolean,
  error: NativeError | undefined,
  native: NativeSocket,
): Failure | undefined {
  // `ok` is also false for a certificate that was not verified.
  if (ok || error?.code && !/^(EPROTO|ECONNRESET|ERR_(SSL|OSSL)_.*)$/.test(error.code)) {
    return undefined;
  }
  const failure = handshakeFault(error, native);
  const { isClosedByCore, failure: known } = native.data;
  if (!isClosedByCore && known?.code !== "ERR_INTERNAL") endInOrder(libc, native.fd);
  const isMissing = failure.message === "peer did not return a certificate";
  return isMissing ? { ...failure, certificate: "" } : failure;
}

/** Returns why a TLS session broke off after its handshake, in BoringSSL's words. */
export function sessionFailure(error: NativeError): Failure {
  const message = libraryReason(error);
  return { code: error.code ?? "EPROTO", message, fault: tlsFault(message) };
}

/** Returns the error in the form of the contract. */
export function failureOf({ code, message }: NativeError): Failure {
  return { code: code ?? "EIO", message };
}

function handshakeFault(error: NativeError | undefined, native: NativeSocket): Failure {
  const code = error?.code ?? "EPROTO";
  if (!error) return { code, message: "unknown reason", fault: "violation" };
  if (code === "ECONNRESET") {
    // A Unix socket counts nothing.
    const bytes = received(libc, native.fd)?.bytes ?? (native.data.isNamed ? 1 : 0);
    return { code, message: "the connection was closed", fault: bytes > 0 ? "closed" : "left" };
  }
  const message = libraryReason(error);
  const fault = tlsFault(message);
  if (fault === "not-tls") return { code, message, fault, ...foreignBytes(native) };
  return { code, message, fault: unreadAlert(message, native) ?? fault };
}

/** Returns the beginning of what the peer sent, if Bun shows it. */
function foreignBytes({ data: { early }, fd }: NativeSocket): Pick<Failure, "received"> {
  if (early) return { received: early };
  const { bytes, segments } = received(libc, fd) ?? NOTHING;
  // The last read may have been of the last few bytes.
  if (segments > 1 && bytes < MAX_RECEIVED) return {};
  const first = lastRead(Math.min(bytes, MAX_RECEIVED));
  return first ? { received: first } : {};
}

const NOTHING: Received = { bytes: 0, segments: 0 };

/**
 * Returns a client's alert that BoringSSL took for an encrypted record, which it is too short for: with
 * TLS 1.3 many clients send the alert in the clear if they reject the certificate.
 */
function unreadAlert(message: string, native: NativeSocket): TlsFault | undefined {
  if (message !== "bad packet length" || native.getTLSVersion() !== "TLSv1.3") return undefined;
  const bytes = lastRead(MAX_RECEIVED);
  return bytes && clearAlert(bytes) || UNREAD_ALERT;
}

/** Returns the reason in `error:1000009c:SSL routines:OPENSSL_internal:HTTP_REQUEST`. */
function libraryReason({ message }: NativeError): string {
  return message.split(":").at(-1)!.replaceAll("_", " ").toLowerCase();
}
