import { X509Certificate } from "node:crypto";
import { reasonOf, UsageError } from "../base/errors.ts";
import { firstDer, fromBase64 } from "./der.ts";

/** One section of a PEM file (RFC 7468). */
export interface Section {
  readonly label: string;
  /** Between the lines BEGIN and END, with plain line ends; not checked. */
  readonly body: string;
}

const CERTIFICATE = /^(?:TRUSTED |X509 )?CERTIFICATE$/;

/**
 * The sections of a PEM file. Text between them is passed over, and so is a BEGIN line which does
 * not begin with exactly five dashes. Throws a UsageError when a section has no end.
 */
export function sectionsOf(text: string, file: string): Section[] {
  const begin = /^-----BEGIN ([A-Z0-9. ]+)-----[ \t\r]*$/gm;
  const found: Section[] = [];
  for (let match = begin.exec(text); match; match = begin.exec(text)) {
    const label = match[1]!;
    const end = text.indexOf(`\n-----END ${label}-----`, begin.lastIndex);
    const next = text.indexOf("\n-----BEGIN ", begin.lastIndex);
    if (end < 0 || (next >= 0 && next < end)) {
      throw new UsageError(
        `${file}: a ${label} section has no END line; the file is cut off, put it there whole`,
      );
    }
    const body = text.slice(begin.lastIndex, end).replaceAll("\r", "").trim();
    found.push({ label, body });
    begin.lastIndex = end;
  }
  return found;
}

/** A section as PEM text. */
export function pemText({ label, body }: Section): string {
  return `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`;
}

/** The certificates among the sections, with older labels replaced by the one all libraries know. */
export function certificatesIn(sections: readonly Section[]): Section[] {
  return sections.filter(({ label }) => CERTIFICATE.test(label)).map(plainCertificate);
}

/** Throws a UsageError when it is none; `what` names it in the line, as in `its certificate`. */
export function readCertificate(section: Section, file: string, what: string): X509Certificate {
  try {
    return new X509Certificate(pemText(section));
  } catch (error) {
    throw new UsageError(`${file}: ${what} cannot be read (${reasonOf(error)}); replace it`);
  }
}

/** OpenSSL's TRUSTED CERTIFICATE has notes of its own after the certificate. */
function plainCertificate({ label, body }: Section): Section {
  if (label !== "TRUSTED CERTIFICATE") return { label: "CERTIFICATE", body };
  const bytes = fromBase64(body);
  let certificate = bytes;
  try {
    certificate = firstDer(bytes).whole;
  } catch {
    // Whoever reads the section tells that it is broken.
  }
  const text = Buffer.from(certificate).toString("base64").replaceAll(/.{64}(?=.)/g, "$&\n");
  return { label: "CERTIFICATE", body: text };
}
