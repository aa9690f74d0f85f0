/** Facts about a certificate (DER) for the PROXY header and the log. */
import { createHash, X509Certificate } from "node:crypto";
import { derToPem } from "../base/pem.ts";

/** A member is absent if the certificate lacks it or the TLS library does not know it. */
export interface CertificateFacts {
  /** The first common name (RFC 4519 section 2.3) of the subject. */
  readonly commonName?: string;
  /** The whole subject, as in RFC 4514: `CN=alice,O=Example`. */
  readonly subject?: string;
  /** The signature algorithm, as HAProxy writes it: `RSA-SHA256`, `ecdsa-with-SHA256`. */
  readonly signatureAlgorithm?: string;
  /** The key's algorithm and size in bits, as HAProxy writes it: `RSA2048`, `EC256`. */
  readonly keyAlgorithm?: string;
}

/** Maximum number of cached certificates; the next one empties the cache. */
const MAX_CACHED = 1000;

/** By the certificate's SHA-256 digest. */
const cache = new Map<string, CertificateFacts>();

/**
 * Returns the facts of a certificate, none if `der` is not a certificate. They are cached, since
 * parsing takes up to 100 µs.
 */
export function certificateFacts(der: Uint8Array): CertificateFacts {
  const digest = createHash("sha256").update(der).digest("base64");
  const cached = cache.get(digest);
  if (cached) return cached;
  const facts = readFacts(der);
  if (cache.size >= MAX_CACHED) cache.clear();
  cache.set(digest, facts);
  return facts;
}

/** Returns PEM with OpenSSL's label for certificates with trust settings, as hitch sends it. */
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
      ...(certificate.subject ? { subject: subjectText(certificate.subject) } : {}),
      ...(signatureAlgorithm ? { signatureAlgorithm: shortName(signatureAlgorithm) } : {}),
      ...(key ? { keyAlgorithm: `${key}${bits ?? ""}` } : {}),
    };
  } catch {
    return {};
  }
}

/** The library writes one attribute on each line, with RFC 4514's escapes, the least specific first. */
function subjectText(subject: string): string {
  return subject.split("\n").reverse().join(",");
}

/** Returns `RSA`, `EC`, `ED25519` …, or undefined for a type that the TLS library does not know. */
function keyType(certificate: X509Certificate): string | undefined {
  try {
    return certificate.publicKey.asymmetricKeyType?.toUpperCase();
  } catch {
    return undefined;
  }
}

/** Returns OpenSSL's short name of an algorithm; for RSA it differs from the long name. */
function shortName(longName: string): string {
  const [, digest] = /^(\w+)WithRSAEncryption$/i.exec(longName) ?? [];
  return digest ? `RSA-${digest.toUpperCase()}` : longName;
}
