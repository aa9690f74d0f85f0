import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { UsageError } from "../errors.ts";
import type { NamedCertificate } from "../control/messages.ts";

/**
 * Reads a PEM bundle with its sections in any order: the first certificate is the leaf, further
 * ones are its chain, the first private key is its key. Other sections (DH PARAMETERS …) are
 * passed over. Throws a UsageError that names `file` when something is missing or does not fit.
 */
export function parseBundle(text: string, file: string): NamedCertificate {
  const certificates = sections(text, /^(X509 )?CERTIFICATE$/);
  const [keyText] = sections(text, /PRIVATE KEY$/);
  if (certificates.length === 0) {
    throw new UsageError(`${file}: no certificate in it; put a PEM CERTIFICATE section there`);
  }
  if (!keyText) {
    throw new UsageError(`${file}: no private key in it; append the key's PEM section`);
  }
  const leaf = readCertificate(certificates[0]!, file);
  const key = readKey(keyText, file);
  if (!leaf.checkPrivateKey(key)) {
    throw new UsageError(
      `${file}: the private key does not belong to the first certificate; ` +
        `put the matching key there, and the server's own certificate before its chain`,
    );
  }
  return {
    chain: certificates.join("\n") + "\n",
    // One form for all TLS libraries, which differ in the older ones that they take.
    key: key.export({ type: "pkcs8", format: "pem" }) as string,
    names: names(leaf),
  };
}

/** One line when the certificate is out of its time, which serves but satisfies no client. */
export function validityWarning(
  certificate: NamedCertificate,
  file: string,
  now: Date,
): string | undefined {
  const { validFrom, validTo } = readCertificate(certificate.chain, file);
  if (now > new Date(validTo)) return `${file}: the certificate expired on ${validTo}; renew it`;
  if (now < new Date(validFrom)) return `${file}: the certificate is valid only from ${validFrom}`;
  return undefined;
}

/** The DNS names of the subjectAltName extension, or without the extension the common name. */
function names(certificate: X509Certificate): string[] {
  const { subjectAltName } = certificate;
  if (subjectAltName !== undefined) {
    return [...subjectAltName.matchAll(/DNS:([^,\s"]+)/g)].map((match) => match[1]!.toLowerCase());
  }
  const commonName = /^CN=(.+)$/m.exec(certificate.subject)?.[1];
  return commonName ? [commonName.toLowerCase()] : [];
}

function sections(text: string, label: RegExp): string[] {
  const all = text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----[^]*?-----END \1-----/g);
  return [...all].filter((match) => label.test(match[1]!)).map((match) => match[0]);
}

function readCertificate(pem: string, file: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new UsageError(`${file}: its certificate cannot be read (${reason(error)}); replace it`);
  }
}

function readKey(pem: string, file: string): KeyObject {
  if (/^-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(pem)) {
    throw new UsageError(
      `${file}: the private key is encrypted, which this version cannot open; ` +
        `decrypt it with: openssl pkey -in ${file}`,
    );
  }
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw new UsageError(`${file}: its private key cannot be read (${reason(error)}); replace it`);
  }
}

function reason(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
}
