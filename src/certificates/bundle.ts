import type { X509Certificate } from "node:crypto";
import type { StoredCertificate } from "./served_tls.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import { keyText, rareCurve } from "../base/certificate_strength.ts";
import { isDhParameters, usableDh } from "./dh_parameters.ts";
import { type ShortIssuer, shortIssuers } from "./issuer_dates.ts";
import { isPrivateKey, type OpenKey, readPrivateKey } from "./keys.ts";
import { type Leaf, readLeaf } from "./leaf.ts";
import { type NamedText, PemFileSections, type ReadCertificate } from "./sections.ts";
import { refuseWeak, unsupportedCurve } from "./strength.ts";
import type { NewMaterial } from "./store.ts";

/** A certificate with its key, both checked. */
export interface Bundle {
  readonly material: NewMaterial;
  /** As in {@link Leaf}. */
  readonly names: readonly string[];
  readonly isNameless: boolean;
  readonly mustStaple: boolean;
  readonly issuer: string;
  /** As in `ECDSA P-256`. */
  readonly key: string;
  readonly keyType: StoredCertificate["keyType"];
  /** Milliseconds since 1970. */
  readonly validFrom: number;
  readonly validTo: number;
  /** Intermediate certificates that are not valid for as long. */
  readonly shortIssuers: readonly ShortIssuer[];
  /** It has unusable DH parameters, which are not in `material`. */
  readonly hasBadDh: boolean;
  /** What is in the files and not in `material`, one line each. */
  readonly warnings: readonly string[];
}

/**
 * Parses a PEM bundle with its sections in any order: the first certificate is the leaf, the others
 * are its chain, the first private key that belongs to it is its key; with `key`, one in that text.
 * The caller wipes the texts and `material.key`. Throws a UsageError that names file and line if
 * something is missing, cannot be read or does not match.
 */
export function parseBundle(cert: NamedText, openKey: OpenKey, key?: NamedText): Bundle {
  const { file } = cert;
  const sections = new PemFileSections(cert);
  const chain = sections.certificates();
  const [first] = chain;
  if (!first) throw sections.lacks("certificate", CERTIFICATE_REMEDY);
  refuseWeak(chain.map(({ certificate }) => certificate), file);
  const leaf = leafOf(first.certificate, file);
  const keySections = key ? new PemFileSections(key) : sections;
  const [dh, ...otherDh] = sections.take(isDhParameters);
  for (const other of otherDh) sections.leave(other);
  const dhParameters = dh && usableDh(dh);
  const material = {
    chain: chain.map(({ pem }) => pem).join(""),
    key: readKey(keySections, openKey, chain, sections.strayText()),
    ...(dhParameters === undefined ? {} : { dhParameters }),
  };
  return {
    material,
    ...leaf,
    key: keyText(first.certificate.raw),
    validFrom: first.certificate.validFromDate.getTime(),
    validTo: first.certificate.validToDate.getTime(),
    shortIssuers: shortIssuers(chain.map(({ certificate }) => certificate)),
    hasBadDh: dh !== undefined && dhParameters === undefined,
    warnings: [...new Set([sections, keySections])].flatMap((each) => each.warnings()),
  };
}

const CERTIFICATE_REMEDY = "specify a PEM file with the certificate, its chain and its private key";

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

/**
 * Returns the leaf's key as PKCS#8 in DER, a form that all TLS libraries accept. `stray` says where
 * the leaf may be if it is not in the chain.
 */
function readKey(
  sections: PemFileSections,
  openKey: OpenKey,
  chain: readonly ReadCertificate[],
  stray: string | undefined,
): Buffer {
  const { file } = sections;
  const found = sections.take(isPrivateKey);
  if (found.length === 0) throw sections.lacks("private key", KEY_REMEDY);
  // They repeat what the key itself says.
  sections.take(({ label }) => label === "EC PARAMETERS");
  let place = -1;
  for (const [index, section] of found.entries()) {
    const opened = sections.run(() => readPrivateKey(section, file, openKey));
    place = chain.findIndex(({ certificate }) => opened.belongsTo(certificate));
    if (place !== 0) continue;
    for (const [other, unused] of found.entries()) if (other !== index) sections.leave(unused);
    return opened.pkcs8();
  }
  throw new UsageError(
    `${file}: the private key does not belong to the first certificate` +
      (place > 0
        ? `, but to the one in line ${chain[place]!.line}: put that before its chain`
        : `; ${
          stray ?? "add the matching key, and put the server's own certificate before its chain"
        }`),
  );
}

const KEY_REMEDY =
  "append the key's PEM section, as in: (umask 077; cat fullchain.pem privkey.pem > NEW.pem), or " +
  "name the key's file in a block of the configuration file: " +
  'pem-file = { cert = "…" private-key = "…" }';
