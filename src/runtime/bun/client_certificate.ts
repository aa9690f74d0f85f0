/** Clients whose certificate is not trusted. */
import { X509Certificate } from "node:crypto";
import { weaknessOf } from "../../base/certificate_strength.ts";
import { endReadably } from "../end_after_alert.ts";
import { alertRecord } from "./alert_record.ts";
import { libc } from "./libc.ts";
import type { NativeSocket } from "./native.ts";
import type { BunStream } from "./stream.ts";

/**
 * Returns why the certificate of a client is not trusted, by OpenSSL's name; undefined if it is, or if
 * there is none. Only for an identity that verifies clients.
 */
export function distrust(native: NativeSocket): string | undefined {
  const der = native.getPeerCertificate(true)?.raw;
  if (!der) return undefined;
  const code = native.getAuthorizationError()?.code;
  // BoringSSL accepts what OpenSSL's default security level does not.
  if (!code) return weaknessOf(der)?.name;
  // It does not know MD5.
  if (code === "CERT_SIGNATURE_FAILURE") return weaknessOf(der)?.name ?? code;
  // BoringSSL looks for a CRL first, which cannot exist.
  return code === "UNABLE_TO_GET_CRL" && isSelfSigned(der) ? "DEPTH_ZERO_SELF_SIGNED_CERT" : code;
}

/**
 * Ends the connection after its handshake, as a handshake that failed for `reason`: with TLS 1.3 the
 * client gets the alert, otherwise close_notify. Bun itself would close the socket without either.
 */
export function reject(stream: BunStream, native: NativeSocket, reason: string): void {
  stream.failure = {
    code: reason,
    message: "the client's certificate is not trusted",
    certificate: reason,
  };
  const { trafficSecret } = stream;
  const record = trafficSecret &&
    alertRecord(trafficSecret, native.getCipher()?.name, alerts.get(reason) ?? CERTIFICATE_UNKNOWN);
  if (record) libc.write(native.fd, record, record.length);
  else native.shutdown();
  // After it BoringSSL can send nothing more, in particular not under the same nonce.
  endReadably(libc, native.fd);
  native.close();
}

const SERVER_SECRET = Buffer.from("SERVER_TRAFFIC_SECRET_0 ");
const SPACE = 0x20;

/**
 * Keeps the secret of a server's first records in TLS 1.3 until the end of the handshake. `line` is in
 * the format of SSLKEYLOGFILE, and is wiped.
 */
export function keepSecret(stream: BunStream, line: Buffer): void {
  if (line.subarray(0, SERVER_SECRET.length).equals(SERVER_SECRET)) {
    stream.trafficSecret = fromHex(line.subarray(line.lastIndexOf(SPACE) + 1));
  }
  line.fill(0);
}

/** Wipes that secret. */
export function dropSecret(stream: BunStream): void {
  stream.trafficSecret?.fill(0);
  stream.trafficSecret = undefined;
}

/** No string, which could not be wiped. */
function fromHex(digits: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(digits.length >> 1);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = 16 * digitOf(digits[2 * i]!) + digitOf(digits[2 * i + 1]!);
  }
  return bytes;
}

function digitOf(character: number): number {
  return character <= 0x39 ? character - 0x30 : (character | 0x20) - 0x57;
}

function isSelfSigned(der: Uint8Array): boolean {
  const certificate = new X509Certificate(der);
  return certificate.checkIssued(certificate);
}

/** Alerts of RFC 8446 section 6.2, as OpenSSL chooses them. */
const BAD_CERTIFICATE = 42;
const UNSUPPORTED_CERTIFICATE = 43;
const CERTIFICATE_REVOKED = 44;
const CERTIFICATE_EXPIRED = 45;
const CERTIFICATE_UNKNOWN = 46;
const UNKNOWN_CA = 48;
const DECRYPT_ERROR = 51;

const alerts: ReadonlyMap<string, number> = new Map([
  ["CERT_REVOKED", CERTIFICATE_REVOKED],
  ["CERT_HAS_EXPIRED", CERTIFICATE_EXPIRED],
  ["CRL_HAS_EXPIRED", CERTIFICATE_EXPIRED],
  ["INVALID_PURPOSE", UNSUPPORTED_CERTIFICATE],
  ["CERT_SIGNATURE_FAILURE", DECRYPT_ERROR],
  ["CRL_SIGNATURE_FAILURE", DECRYPT_ERROR],
  ...[
    ...["UNABLE_TO_GET_ISSUER_CERT", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "UNABLE_TO_GET_CRL"],
    ...["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "DEPTH_ZERO_SELF_SIGNED_CERT", "INVALID_CA"],
    ...["SELF_SIGNED_CERT_IN_CHAIN", "PATH_LENGTH_EXCEEDED", "CERT_CHAIN_TOO_LONG"],
    ...["UNABLE_TO_GET_CRL_ISSUER"],
  ].map((reason) => [reason, UNKNOWN_CA] as const),
  ...[
    ...["CERT_NOT_YET_VALID", "CRL_NOT_YET_VALID", "CERT_UNTRUSTED", "CERT_REJECTED"],
    ...["EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"],
  ].map((reason) => [reason, BAD_CERTIFICATE] as const),
]);
