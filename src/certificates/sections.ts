/** Certificates in PEM files. */
import { X509Certificate } from "node:crypto";
import { firstDer } from "../base/der.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import { derOf, derToPem, type PemSection, pemSections, pemText } from "../base/pem.ts";

const CERTIFICATE = /^(?:TRUSTED |X509 )?CERTIFICATE$/;

/** Returns the sections of a PEM file. Throws a UsageError if one has no end. */
export function sectionsOf(text: Uint8Array | string, file: string): PemSection[] {
  try {
    return pemSections(text);
  } catch (error) {
    throw new UsageError(`${file}: ${reasonOf(error)}`);
  }
}

/**
 * Returns the certificates among the sections as PEM texts. Older labels are replaced by the one
 * that all libraries accept.
 */
export function certificatesIn(sections: readonly PemSection[]): string[] {
  return sections.filter(({ label }) => CERTIFICATE.test(label)).map(certificateText);
}

/** Parses a certificate. Throws a UsageError, in which `what` names it: `its certificate`. */
export function readCertificate(pem: string, file: string, what: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new UsageError(`${file}: ${what} cannot be read (${reasonOf(error)}); replace it`);
  }
}

/** OpenSSL's TRUSTED CERTIFICATE has trust settings after the certificate. */
function certificateText({ label, body }: PemSection): string {
  const section = { label: "CERTIFICATE", body };
  if (label !== "TRUSTED CERTIFICATE") return pemText(section);
  try {
    return derToPem("CERTIFICATE", firstDer(derOf(section)).whole);
  } catch {
    // Parsing it reports that it is broken.
    return pemText(section);
  }
}
