/** Private keys in PEM sections, by their content: labels are often wrong. */
import { createPrivateKey, type KeyObject, type X509Certificate } from "node:crypto";
import {
  type Der,
  firstDer,
  inside,
  INTEGER,
  OCTET_STRING,
  SEQUENCE,
  sequenceOf,
} from "../base/der.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import { derOf, headersOf, type PemSection, pemText } from "../base/pem.ts";

/** Decrypts a key in PEM. Throws a UsageError. */
export type OpenKey = (pem: Buffer, file: string) => KeyObject;

export interface OpenedKey {
  readonly belongsTo: (certificate: X509Certificate) => boolean;
  /** Returns it as PKCS#8 in DER, which the caller wipes. */
  readonly pkcs8: () => Buffer;
}

/** Whether the section is a private key that may be used for TLS; OpenSSH's form is not. */
export function isPrivateKey({ label }: Pick<PemSection, "label">): boolean {
  return /^(?:[A-Z0-9]+ )?PRIVATE KEY$/.test(label) && label !== "OPENSSH PRIVATE KEY";
}

/**
 * Returns the key in a section of `file`. An encrypted one is left to `openKey`. Throws an Error
 * that names the line if it cannot be read, or what `openKey` throws.
 */
export function readPrivateKey(section: PemSection, file: string, openKey: OpenKey): OpenedKey {
  const der = derOf(section);
  try {
    const form = formOf(der);
    if (form === "encrypted" || hasEncryption(section)) {
      const key = openKey(Buffer.from(encryptedPem(section, form)), file);
      return openedKey(key);
    }
    // A plain PKCS#8 section is not exported, which would take Deno 200 µs.
    const opened = openedKey(keyOf(der));
    return form === "pkcs8" ? { ...opened, pkcs8: () => pkcs8In(section) } : opened;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new Error(
      `line ${section.line}: its private key cannot be read (${reasonOf(error)}); replace it`,
    );
  } finally {
    der.fill(0);
  }
}

/**
 * Returns a private key that is not encrypted, in PKCS#8, PKCS#1 or SEC1, and wipes the bytes.
 * Throws an Error if it is none.
 */
export function keyOf(der: Buffer): KeyObject {
  const form = formOf(der);
  if (form === undefined || form === "encrypted") throw new Error("no such form of key is known");
  const key = form === "pkcs8" ? plainPkcs8(der) : der.subarray(0, firstDer(der).whole.length);
  try {
    return createPrivateKey({ key, format: "der", type: form });
  } finally {
    key.fill(0);
  }
}

/** The forms of keys in DER, as `createPrivateKey` calls them. */
type Form = "pkcs1" | "pkcs8" | "sec1" | "encrypted";

/** RFC 8017 appendix A.1.2, RFC 5958 sections 2 and 3, RFC 5915 section 3. */
function formOf(der: Buffer): Form | undefined {
  let fields: readonly Der[];
  try {
    fields = inside(firstDer(der), SEQUENCE);
  } catch {
    return undefined;
  }
  const [first, second] = fields.map(({ tag }) => tag);
  if (first === SEQUENCE && second === OCTET_STRING) return "encrypted";
  if (first !== INTEGER) return undefined;
  if (second === SEQUENCE) return "pkcs8";
  if (second === OCTET_STRING) return "sec1";
  // An RSA key has nine INTEGERs; a DSA key has six.
  return second === INTEGER && fields.length >= 9 ? "pkcs1" : undefined;
}

/** Whether the older encryption by headers is used (RFC 1421 section 4.6.1.1). */
function hasEncryption(section: PemSection): boolean {
  return /^Proc-Type: *4, *ENCRYPTED/m.test(headersOf(section));
}

function encryptedPem(section: PemSection, form: Form | undefined): string {
  return pemText(form === "encrypted" ? { ...section, label: "ENCRYPTED PRIVATE KEY" } : section);
}

function pkcs8In(section: PemSection): Buffer {
  const der = derOf(section);
  try {
    return plainPkcs8(der);
  } finally {
    der.fill(0);
  }
}

/**
 * Returns a PKCS#8 key with its first three elements only, in a buffer that the caller wipes: bytes
 * may follow the key, and BoringSSL refuses the public key that RFC 5958 allows inside.
 */
function plainPkcs8(der: Buffer): Buffer {
  const [, algorithm, value] = inside(firstDer(der), SEQUENCE);
  return sequenceOf(Buffer.of(INTEGER, 1, 0), algorithm!.whole, value!.whole);
}

function openedKey(key: KeyObject): OpenedKey {
  return {
    belongsTo(certificate) {
      try {
        return certificate.checkPrivateKey(key);
      } catch {
        // Deno throws for a key of another type.
        return false;
      }
    },
    pkcs8: () => key.export({ type: "pkcs8", format: "der" }),
  };
}
