import type { X509Certificate } from "node:crypto";
import type { Trust } from "./served_tls.ts";
import { weaknessOf } from "../base/certificate_strength.ts";
import { forOption, UsageError } from "../base/errors.ts";
import type { ClientVerify } from "../options/config.ts";
import {
  BIT_STRING,
  type Der,
  firstDer,
  GENERALIZED_TIME,
  inside,
  INTEGER,
  SEQUENCE,
  UTC_TIME,
} from "../base/der.ts";
import { derOf, type PemSection, pemText } from "../base/pem.ts";
import { readFile } from "../base/read_file.ts";
import { certificatesIn, readCertificate, sectionsOf } from "./sections.ts";

export interface LoadedTrust {
  readonly trust: Trust;
  /** Warnings, one line each. */
  readonly warnings: readonly string[];
}

/** Reads and checks the files of CAs and CRLs. Throws a UsageError. */
export function loadTrust({ mode, ca, crl }: ClientVerify, now: number): LoadedTrust {
  if (mode === "none") return { trust: { mode, ca: "", crl: "" }, warnings: [] };
  const found = readAuthorities(ca, "--client-verify-ca");
  const { authorities, warnings: weak } = forOption("--client-verify-ca", () => strong(found, ca));
  const caText = authorities.map(({ pem }) => pem).join("");
  if (crl === "") return { trust: { mode, ca: caText, crl: "" }, warnings: weak };
  const lists = forOption("--client-verify-crl", () => readLists(crl));
  const warnings = lists.filter(({ nextUpdate }) => nextUpdate < now).map(({ nextUpdate }) =>
    `${crl}: a CRL in it expired on ${new Date(nextUpdate).toISOString()}; ` +
    "clients of its CA will be refused; get a new one"
  );
  for (const { certificate } of authorities) {
    const subject = subjectOf(certificate);
    if (lists.some(({ issuer }) => issuer.equals(subject))) continue;
    warnings.push(
      `${crl}: it has no CRL of the CA ${JSON.stringify(certificate.subject)} of ${ca}; ` +
        "clients of that CA will be refused; add one",
    );
  }
  const text = lists.map(({ section }) => pemText(section)).join("");
  return { trust: { mode, ca: caText, crl: text }, warnings: [...weak, ...warnings] };
}

/**
 * Leaves out CAs that are too weak, with a warning: not all TLS libraries do, and clients of one must
 * not come in by the choice of a build. Throws a UsageError if none is left.
 */
function strong(all: readonly Authority[], file: string) {
  const weak = all.flatMap(({ certificate }) => {
    const weakness = weaknessOf(certificate.raw);
    return weakness ? [{ certificate, weakness }] : [];
  });
  const warnings = weak.map(({ certificate: { subject }, weakness: { text } }) =>
    `${file}: the CA ${JSON.stringify(subject)} ${text}; its clients will be refused, replace it`
  );
  if (weak.length === all.length) throw new UsageError(warnings);
  const authorities = all.filter(({ certificate }) =>
    !weak.some((each) => each.certificate === certificate)
  );
  return { authorities, warnings };
}

/** A CA's certificate, parsed and as PEM text. */
interface Authority {
  readonly certificate: X509Certificate;
  readonly pem: string;
}

/** Reads the CAs in the PEM file of an option. Throws a UsageError if there is none. */
export function readAuthorities(file: string, option: string): Authority[] {
  return forOption(option, () => authoritiesIn(file));
}

function authoritiesIn(file: string): Authority[] {
  const found = certificatesIn(sectionsOf(readFile(file, { also: "pipe" }), file));
  if (found.length === 0) {
    throw new UsageError(`${file}: no CA certificate in it; add PEM CERTIFICATE sections`);
  }
  return found.map((pem) => ({
    certificate: readCertificate(pem, file, "a CA certificate in it"),
    pem,
  }));
}

/**
 * Maximum size of a CRL file, in bytes: CRLs of large CAs have tens of megabytes, and the control
 * channel's frames 64 MiB.
 */
const MAX_LISTS = 32 * 1024 * 1024;

interface RevocationList {
  readonly section: PemSection;
  /** The issuer's Name in DER. */
  readonly issuer: Buffer;
  /** Milliseconds since 1970; Infinity if the CRL has no such field. */
  readonly nextUpdate: number;
}

function readLists(file: string): RevocationList[] {
  const sections = sectionsOf(readFile(file, { also: "pipe", maxBytes: MAX_LISTS }), file)
    .filter(({ label }) => label === "X509 CRL");
  if (sections.length === 0) {
    throw new UsageError(`${file}: no CRL in it; add PEM X509 CRL sections`);
  }
  return sections.map((section) => {
    try {
      return { section, ...readList(derOf(section)) };
    } catch {
      throw new UsageError(`${file}: a CRL in it cannot be read; replace it`);
    }
  });
}

/** Parses a CertificateList (RFC 5280 section 5.1). Throws an Error if it is malformed. */
function readList(der: Uint8Array): Omit<RevocationList, "section"> {
  const [toBeSigned, algorithm, signature] = inside(firstDer(der), SEQUENCE);
  const fields = inside(toBeSigned, SEQUENCE);
  if (fields[0]?.tag === INTEGER) fields.shift();
  const [, issuer, thisUpdate, nextUpdate] = fields;
  const isWhole = algorithm?.tag === SEQUENCE && signature?.tag === BIT_STRING &&
    issuer?.tag === SEQUENCE && Number.isFinite(timeOf(thisUpdate));
  if (!isWhole) throw new Error("malformed CRL");
  return { issuer: Buffer.from(issuer.whole), nextUpdate: timeOf(nextUpdate) };
}

/** Returns milliseconds since 1970, or Infinity if it is not a time (RFC 5280 section 4.1.2.5). */
function timeOf(element: Der | undefined): number {
  if (element?.tag !== UTC_TIME && element?.tag !== GENERALIZED_TIME) return Infinity;
  const text = Buffer.from(element.content).toString("latin1");
  const century = Number(text.slice(0, 2)) < 50 ? "20" : "19";
  const digits = element.tag === UTC_TIME ? century + text : text;
  return Date.parse(
    digits.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"),
  );
}

function subjectOf({ raw }: X509Certificate): Buffer {
  const [toBeSigned] = inside(firstDer(raw), SEQUENCE);
  const fields = inside(toBeSigned, SEQUENCE);
  // The version comes first, but is omitted if it is 1.
  return Buffer.from(fields[fields[0]?.tag === INTEGER ? 4 : 5]!.whole);
}
