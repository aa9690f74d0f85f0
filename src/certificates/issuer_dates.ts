/** The validity of the intermediate certificates in a chain, which clients check like the leaf's. */
import type { X509Certificate } from "node:crypto";
import { certificateFields } from "../base/certificate_fields.ts";
import { issuerName } from "./leaf.ts";

/** An intermediate certificate that is not valid for as long as the leaf. */
export interface ShortIssuer {
  /** As {@link Leaf.issuer} of the certificate below it. */
  readonly name: string;
  readonly fingerprint: string;
  /** Milliseconds since 1970. */
  readonly validFrom: number;
  readonly validTo: number;
}

/**
 * Returns those between the leaf, which comes first, and the root. A root in the chain does not count,
 * since clients use their own; nor does what belongs to no certificate before it.
 */
export function shortIssuers([leaf, ...others]: readonly X509Certificate[]): ShortIssuer[] {
  if (!leaf) return [];
  const found: ShortIssuer[] = [];
  const unused = others.map((certificate) => ({ certificate, ...namesOf(certificate) }));
  for (let { issuer, issuerName } = namesOf(leaf);;) {
    const place = unused.findIndex(({ subject }) => subject !== "" && subject === issuer);
    const [above] = place < 0 ? [] : unused.splice(place, 1);
    if (!above || above.subject === above.issuer) return found;
    const { certificate: { fingerprint256: fingerprint, validFromDate, validToDate } } = above;
    const [validFrom, validTo] = [validFromDate.getTime(), validToDate.getTime()];
    if (validTo < leaf.validToDate.getTime() || validFrom > leaf.validFromDate.getTime()) {
      found.push({ name: issuerName, fingerprint, validFrom, validTo });
    }
    ({ issuer, issuerName } = above);
  }
}

/** The names as bytes, to be compared; "" for what is absent or malformed. */
function namesOf({ raw }: X509Certificate) {
  try {
    const { subject, issuer } = certificateFields(raw);
    const bytes = (name: typeof subject) => Buffer.from(name?.content ?? []).toString("latin1");
    return { subject: bytes(subject), issuer: bytes(issuer), issuerName: issuerName(issuer) };
  } catch {
    return { subject: "", issuer: "", issuerName: "" };
  }
}
