import type { X509Certificate } from "node:crypto";
import type { Trust } from "./served_tls.ts";
import { weaknessOf } from "../base/certificate_strength.ts";
import { forOption, UsageError } from "../base/errors.ts";
import type { ClientVerify } from "../options/config.ts";
import { certificateFields } from "../base/certificate_fields.ts";
import {
  BIT_STRING,
  type Der,
  firstDer,
  GENERALIZED_TIME,
  inside,
  INTEGER,
  SEQUENCE,
  timeOf,
  UTC_TIME,
} from "../base/der.ts";
import { derOf, derToPem, type PemSection } from "../base/pem.ts";
import { readFile } from "../base/read_file.ts";
import { PemFileSections, type ReadCertificate } from "./sections.ts";
import { excludes, type Use } from "./trust_settings.ts";

export interface LoadedTrust {
  readonly trust: Trust;
  /** Warnings, one line each. */
  readonly warnings: readonly string[];
}

/** Reads and checks the files of CAs and CRLs. Throws a UsageError. */
export function loadTrust({ mode, ca, crl }: ClientVerify, now: number): LoadedTrust {
  if (mode === "none") return { trust: { mode, ca: "", crl: "" }, warnings: [] };
  const isShared = ca === crl;
  const all = readAuthorities(ca, "--client-verify-ca", "clients", isShared);
  const authorities = forOption("--client-verify-ca", () => strong(all, ca));
  const caText = authorities.pem;
  if (crl === "") {
    return { trust: { mode, ca: caText, crl: "" }, warnings: authorities.warnings };
  }
  const { lists, warnings: unused } = forOption(
    "--client-verify-crl",
    () => readLists(crl, isShared),
  );
  const warnings = [...authorities.warnings, ...unused];
  for (const { nextUpdate } of lists) {
    if (nextUpdate >= now) continue;
    warnings.push(
      `${crl}: a CRL in it expired on ${new Date(nextUpdate).toISOString()}; ` +
        "clients of its CA will be refused; get a new one",
    );
  }
  for (const { certificate } of authorities.certificates) {
    const subject = subjectOf(certificate);
    if (lists.some(({ issuer }) => issuer.equals(subject))) continue;
    warnings.push(
      `${crl}: it has no CRL of the CA ${JSON.stringify(certificate.subject)} of ${ca}; ` +
        "clients of that CA will be refused; add one",
    );
  }
  return { trust: { mode, ca: caText, crl: lists.map(({ pem }) => pem).join("") }, warnings };
}

/**
 * Leaves out CAs that are too weak, with a warning: not all TLS libraries do, and whether their clients
 * are accepted must not depend on the build. Throws a UsageError if none is left.
 */
function strong(all: Authorities, file: string): Authorities {
  const weak = new Map(all.certificates.flatMap((each) => {
    const weakness = weaknessOf(each.certificate.raw);
    return weakness ? [[each, weakness.text] as const] : [];
  }));
  if (weak.size === 0) return all;
  const warnings = [...weak].map(([{ certificate: { subject } }, text]) =>
    `${file}: the CA ${JSON.stringify(subject)} ${text}; its clients will be refused, replace it`
  );
  const certificates = all.certificates.filter((each) => !weak.has(each));
  if (certificates.length === 0) throw new UsageError(warnings);
  const pem = certificates.map((each) => each.pem).join("");
  return { certificates, pem, warnings: [...all.warnings, ...warnings] };
}

/** Checks files of CAs and CRLs that nothing uses. Throws a UsageError. */
export function checkTrustFiles(authorities: readonly string[], lists: readonly string[]): void {
  const problems: string[] = [];
  const attempt = (check: () => unknown) => {
    try {
      check();
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      problems.push(...error.problems);
    }
  };
  for (const file of authorities) {
    attempt(() => readAuthorities(file, "--client-verify-ca", "clients"));
  }
  for (const file of lists) attempt(() => forOption("--client-verify-crl", () => readLists(file)));
  if (problems.length > 0) throw new UsageError(problems);
}

/** The CAs of a file. */
export interface Authorities {
  readonly certificates: readonly ReadCertificate[];
  /** All of them. */
  readonly pem: string;
  /** What is in the file and not used, one line each. */
  readonly warnings: readonly string[];
}

/**
 * Reads the CAs in the PEM file of an option, except those whose trust settings exclude the use. With
 * `hasLists` its CRLs are in use too. Throws a UsageError if there is no CA.
 */
export function readAuthorities(
  file: string,
  option: string,
  use: Use,
  hasLists = false,
): Authorities {
  return forOption(option, () => {
    const sections = new PemFileSections({ text: readFile(file, { also: "pipe" }), file });
    const found = sections.certificates();
    if (found.length === 0) {
      throw sections.lacks("CA certificate", "add PEM CERTIFICATE sections");
    }
    if (hasLists) sections.take(isList);
    const isExcluded = ({ trust }: ReadCertificate) => sections.run(() => excludes(trust, use));
    const excluded = found.filter(isExcluded).map(({ line, certificate: { subject } }) =>
      `${file}: line ${line}: the trust settings of the CA ${JSON.stringify(subject)} exclude ` +
      `${use}, so it is not used; to use it, write it anew with: openssl x509 -clrtrust`
    );
    const certificates = found.filter((each) => !isExcluded(each));
    if (certificates.length === 0) throw new UsageError(excluded);
    const pem = certificates.map((each) => each.pem).join("");
    return { certificates, pem, warnings: [...sections.warnings(), ...excluded] };
  });
}

/**
 * Maximum size of a CRL file, in bytes: CRLs of large CAs have tens of megabytes, and the control
 * channel's frames 64 MiB.
 */
const MAX_LISTS = 32 * 1024 * 1024;

interface RevocationList {
  readonly pem: string;
  /** The issuer's Name in DER. */
  readonly issuer: Buffer;
  /** Milliseconds since 1970; Infinity if the CRL has no such field. */
  readonly nextUpdate: number;
}

function isList({ label }: PemSection): boolean {
  return label === "X509 CRL";
}

/** With `hasAuthorities`, the file's certificates are in use too. */
function readLists(
  file: string,
  hasAuthorities = false,
): { lists: RevocationList[]; warnings: readonly string[] } {
  const text = readFile(file, { also: "pipe", maxBytes: MAX_LISTS });
  const sections = new PemFileSections({ text, file });
  const found = sections.take(isList);
  if (found.length === 0) throw sections.lacks("CRL", "add PEM X509 CRL sections");
  const lists = found.map((section) => {
    const der = sections.run(() => derOf(section));
    try {
      return { pem: derToPem(section.label, firstDer(der).whole), ...readList(der) };
    } catch {
      throw new UsageError(`${file}: line ${section.line}: the CRL cannot be read; replace it`);
    }
  });
  if (hasAuthorities) sections.certificates();
  return { lists, warnings: sections.warnings() };
}

/** Parses a CertificateList (RFC 5280 section 5.1). Throws an Error if it is malformed. */
function readList(der: Uint8Array): Omit<RevocationList, "pem"> {
  const [toBeSigned, algorithm, signature] = inside(firstDer(der), SEQUENCE);
  const fields = inside(toBeSigned, SEQUENCE);
  if (fields[0]?.tag === INTEGER) fields.shift();
  const [, issuer, thisUpdate, nextUpdate] = fields;
  const isWhole = algorithm?.tag === SEQUENCE && signature?.tag === BIT_STRING &&
    issuer?.tag === SEQUENCE && isTime(thisUpdate);
  if (!isWhole) throw new Error("malformed CRL");
  return {
    issuer: Buffer.from(issuer.whole),
    nextUpdate: isTime(nextUpdate) ? timeOf(nextUpdate) : Infinity,
  };
}

function isTime(element: Der | undefined): boolean {
  return element?.tag === UTC_TIME || element?.tag === GENERALIZED_TIME;
}

function subjectOf({ raw }: X509Certificate): Buffer {
  return Buffer.from(certificateFields(raw).subject!.whole);
}
