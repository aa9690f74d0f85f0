/**
 * A TLS 1.3 alert as the first record under a traffic secret (RFC 8446 sections 5.2, 6 and 7.3), for a
 * server that rejects its client's certificate: BoringSSL has completed the handshake before Bun looks
 * at the certificate, and Bun has no call to send an alert.
 */
import { createCipheriv, createHmac } from "node:crypto";

/** Fatal, an alert, in an encrypted record that claims to be TLS 1.2. */
const FATAL = 2;
const ALERT = 21;
const RECORD = [23, 3, 3] as const;
const TAG_LENGTH = 16;
const IV_LENGTH = 12;

/** By the cipher's OpenSSL name; Bun's `node:crypto` lacks ChaCha20-Poly1305. */
const ciphers = {
  "TLS_AES_128_GCM_SHA256": { name: "aes-128-gcm", hash: "sha256", keyLength: 16 },
  "TLS_AES_256_GCM_SHA384": { name: "aes-256-gcm", hash: "sha384", keyLength: 32 },
} as const;

/**
 * Returns the record, or undefined for a cipher that is not available. Nothing else may be sent under
 * this secret afterwards: each of its nonces serves one record.
 */
export function alertRecord(
  secret: Uint8Array,
  cipher: string | null | undefined,
  alert: number,
): Uint8Array | undefined {
  if (!isAvailable(cipher)) return undefined;
  const { name, hash, keyLength } = ciphers[cipher];
  const key = expand(hash, secret, "key", keyLength);
  // The sequence number, 0, leaves the IV as it is.
  const nonce = expand(hash, secret, "iv", IV_LENGTH);
  const content = Uint8Array.of(FATAL, alert, ALERT);
  const header = Uint8Array.of(...RECORD, 0, content.length + TAG_LENGTH);
  const seal = createCipheriv(name, key, nonce, { authTagLength: TAG_LENGTH });
  seal.setAAD(header);
  const sealed = [seal.update(content), seal.final()];
  return Buffer.concat([header, ...sealed, seal.getAuthTag()]);
}

/** HKDF-Expand-Label without a context, for at most one block of the hash. */
function expand(hash: string, secret: Uint8Array, label: string, length: number): Buffer {
  const full = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([
    Uint8Array.of(0, length, full.length),
    full,
    Uint8Array.of(0, 1),
  ]);
  return createHmac(hash, secret).update(info).digest().subarray(0, length);
}

function isAvailable(cipher: string | null | undefined): cipher is keyof typeof ciphers {
  return typeof cipher === "string" && Object.hasOwn(ciphers, cipher);
}
