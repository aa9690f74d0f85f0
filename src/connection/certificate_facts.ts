/** What a PROXY header and the log tell of a certificate, which is given as DER. */
import { createHash, X509Certificate } from "node:crypto";
import { derToPem } from "../base/pem.ts";

/** A member is absent where the certificate, or the TLS library's knowledge, lacks it. */
export interface CertificateFacts {
  /** The first common name (RFC 4519 section 2.3) of the subject. */
  readonly commonName?: string;
  /** The algorithm by which it was signed, as HAProxy writes it: `RSA-SHA256`, `ecdsa-with-SHA256`. */
  readonly signatureAlgorithm?: string;
  /** The algorithm of its key with the bits, as HAProxy writes it: `RSA2048`, `EC256`. */
  readonly keyAlgorithm?: string;
}

/** Maximum number of certificates whose facts are kept; at the next one all are dropped. */
const MAX_REMEMBERED = 1000;

/** By the digest of the certificate. */
const remembered = new Map<string, CertificateFacts>();

/**
 * The facts, which are remembered, since reading a certificate takes up to 100 µs. Of something that
 * is no certificate there are none.
 */
export function certificateFacts(der: Uint8Array): CertificateFacts {
  const digest = createHash("sha256").update(der).digest("base64");
  const known = remembered.get(digest);
  if (known) return known;
  const facts = readFacts(der);
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  remembered.set(digest, facts);
  return facts;
}

/** PEM with OpenSSL's label for certificates that may carry trust settings, as hitch sends it. */
export function trustedPem(der: Uint8Array): string {
  return derToPem("TRUSTED CERTIFICATE", der);
}

function readFacts(der: Uint8Array): CertificateFacts {
  try {
    const certificate = new X509Certificate(der);
    const { subject, bits } = certificate.toLegacyObject();
    const commonName = Array.isArray(subject.CN) ? subject.CN[0] : subject.CN;
    const { signatureAlgorithm } = certificate;
    const key = keyType(certificate);
    return {
      ...(commonName ? { commonName } : {}),
      ...(signatureAlgorithm ? { signatureAlgorithm: shortName(signatureAlgorithm) } : {}),
      ...(key ? { keyAlgorithm: `${key}${bits ?? ""}` } : {}),
    };
  } catch {
    return {};
  }
}

/** `RSA`, `EC`, `ED25519` …, or undefined for a type that the TLS library does not know. */
function keyType(certificate: X509Certificate): string | undefined {
  try {
    return certificate.publicKey.asymmetricKeyType?.toUpperCase();
  } catch {
    return undefined;
  }
}

/** OpenSSL's short name for an algorithm, which for RSA differs from its long name. */
function shortName(longName: string): string {
  const [, digest] = /^(\w+)WithRSAEncryption$/i.exec(longName) ?? [];
  return digest ? `RSA-${digest.toUpperCase()}` : longName;
}
