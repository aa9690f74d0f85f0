import { createPrivateKey, type KeyObject, type X509Certificate } from "node:crypto";
import type { StoredCertificate } from "./served_tls.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import { rareCurve } from "../base/certificate_strength.ts";
import { firstDer, inside, INTEGER, SEQUENCE } from "../base/der.ts";
import { type Leaf, readLeaf } from "./leaf.ts";
import { derOf, pemBytes, type PemSection, pemText } from "../base/pem.ts";
import { refuseWeak, unsupportedCurve } from "./strength.ts";
import { certificatesIn, readCertificate, sectionsOf } from "./sections.ts";
import type { NewMaterial } from "./store.ts";

/** A certificate with its key, both checked. */
export interface Bundle {
  readonly material: NewMaterial;
  /** As in {@link Leaf}. */
  readonly names: readonly string[];
  readonly isNameless: boolean;
  readonly mustStaple: boolean;
  readonly keyType: StoredCertificate["keyType"];
  /** Milliseconds since 1970. */
  readonly validFrom: number;
  readonly validTo: number;
  /** It has unusable DH parameters, which are not in `material`. */
  readonly hasBadDh: boolean;
}

/** The contents of a file, with its name for messages. */
export interface PemText {
  readonly text: Uint8Array | string;
  readonly file: string;
}

/** Decrypts a key in PEM. Throws a UsageError. */
export type OpenKey = (pem: Buffer, file: string) => KeyObject;

const PRIVATE_KEY = /^(?:[A-Z0-9]+ )?PRIVATE KEY$/;
const DH_PARAMETERS = /^(?:X9\.42 )?DH PARAMETERS$/;

/** Minimum length of a DH prime that current TLS libraries and clients accept, in bytes. */
const MIN_DH_BYTES = 1024 / 8;

/**
 * Parses a PEM bundle with its sections in any order: the first certificate is the leaf, the others
 * are its chain, the first private key is its key unless `key` is given. The caller wipes the texts
 * and `material.key`. Throws a UsageError that names the file if something is missing or does not
 * match.
 */
export function parseBundle(cert: PemText, openKey: OpenKey, key?: PemText): Bundle {
  const { file } = cert;
  const sections = sectionsOf(cert.text, file);
  const chain = certificatesIn(sections);
  const [first, ...issuers] = chain;
  if (!first) {
    throw new UsageError(`${file}: no certificate in it; add a PEM CERTIFICATE section`);
  }
  const certificate = readCertificate(first, file, "its certificate");
  const others = issuers.map((pem) => readCertificate(pem, file, "a certificate of its chain"));
  refuseWeak([certificate, ...others], file);
  const leaf = leafOf(certificate, file);
  const keySections = key ? sectionsOf(key.text, key.file) : sections;
  const dh = sections.find(({ label }) => DH_PARAMETERS.test(label));
  const dhParameters = dh && isUsableDh(dh) ? pemText(dh) : undefined;
  return {
    material: {
      chain: chain.join(""),
      key: readKey(keySections, key?.file ?? file, openKey, certificate),
      ...(dhParameters === undefined ? {} : { dhParameters }),
    },
    ...leaf,
    validFrom: certificate.validFromDate.getTime(),
    validTo: certificate.validToDate.getTime(),
    hasBadDh: dh !== undefined && dhParameters === undefined,
  };
}

/** Returns a warning, in one line, if the certificate has expired or is not yet valid. */
export function validityWarning(
  { validFrom, validTo }: Pick<Bundle, "validFrom" | "validTo">,
  file: string,
  now: number,
): string | undefined {
  const day = (time: number) => new Date(time).toISOString().replace(/\.\d+Z$/, "Z");
  if (now > validTo) return `${file}: the certificate expired on ${day(validTo)}; renew it`;
  if (now < validFrom) return `${file}: the certificate is valid only from ${day(validFrom)}`;
  return undefined;
}

function leafOf(
  certificate: X509Certificate,
  file: string,
): Leaf & { readonly keyType: StoredCertificate["keyType"] } {
  let leaf: Leaf;
  try {
    leaf = readLeaf(certificate.raw);
  } catch (error) {
    throw new UsageError(`${file}: its certificate is broken (${reasonOf(error)}); replace it`);
  }
  const { keyType } = leaf;
  const curve = rareCurve(certificate.raw);
  if (curve !== undefined && !isReadable(certificate)) throw unsupportedCurve(file, curve);
  if (typeof keyType === "string") return { ...leaf, keyType };
  throw new UsageError(
    `${file}: its certificate is for a key of the type ${keyType.unsupported}, which cannot ` +
      "serve here; get one for an RSA, ECDSA or Ed25519 key",
  );
}

function isReadable(certificate: X509Certificate): boolean {
  try {
    return certificate.publicKey !== undefined;
  } catch {
    return false;
  }
}

/** Returns the key as PKCS#8 in DER, a form that all TLS libraries accept. */
function readKey(
  sections: readonly PemSection[],
  file: string,
  openKey: OpenKey,
  certificate: X509Certificate,
): Buffer {
  const section = sections.find(({ label }) => PRIVATE_KEY.test(label));
  if (!section) {
    throw new UsageError(`${file}: no private key in it; append the key's PEM section`);
  }
  const pem = pemBytes(section);
  try {
    const key = isEncrypted(section) ? openKey(pem, file) : openPlain(pem, file);
    if (belongs(certificate, key)) return pkcs8Of(section, key);
  } finally {
    pem.fill(0);
  }
  throw new UsageError(
    `${file}: the private key does not belong to the first certificate; ` +
      `add the matching key, and put the server's own certificate before its chain`,
  );
}

/** A plain PKCS#8 section is not exported, which would take Deno 200 µs. */
function pkcs8Of(section: PemSection, key: KeyObject): Buffer {
  return section.label === "PRIVATE KEY" && !isEncrypted(section)
    ? derOf(section)
    : key.export({ type: "pkcs8", format: "der" });
}

function openPlain(pem: Buffer, file: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw new UsageError(
      `${file}: its private key cannot be read (${reasonOf(error)}); replace it`,
    );
  }
}

/** PKCS#8's own encryption, or the older one by headers (RFC 1421 section 4.6.1.1). */
function isEncrypted({ label, body }: PemSection): boolean {
  if (label === "ENCRYPTED PRIVATE KEY") return true;
  const header = body.indexOf("Proc-Type:");
  // Only this line becomes a string: the body of a plain key is secret.
  return header >= 0 &&
    /^Proc-Type: *4, *ENCRYPTED/.test(body.toString("latin1", header, body.indexOf("\n", header)));
}

/** Deno throws for a key of another type. */
function belongs(certificate: X509Certificate, key: KeyObject): boolean {
  try {
    return certificate.checkPrivateKey(key);
  } catch {
    return false;
  }
}

/** PKCS #3: a SEQUENCE of prime and base. TLS libraries silently ignore any other form. */
function isUsableDh(section: PemSection): boolean {
  if (section.label !== "DH PARAMETERS") return false;
  try {
    const [prime, base] = inside(firstDer(derOf(section)), SEQUENCE);
    return prime?.tag === INTEGER && base?.tag === INTEGER &&
      prime.content.length >= MIN_DH_BYTES;
  } catch {
    return false;
  }
}
