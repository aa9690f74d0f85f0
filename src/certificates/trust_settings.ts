/** The trust settings of OpenSSL's TRUSTED CERTIFICATE sections. */
import { allDer, type Der, firstDer, inside, oidText, SEQUENCE } from "../base/der.ts";

/** What a CA is used for (RFC 5280 section 4.2.1.12): to verify clients, or servers. */
export type Use = "clients" | "servers";

/**
 * Whether the settings exclude a use, as OpenSSL judges it: by one that is rejected, or by a list of
 * trusted ones that lacks it. `bytes` are those behind the certificate: X509_CERT_AUX, or nothing.
 * Throws an Error if they are malformed.
 */
export function excludes(bytes: Uint8Array, use: Use): boolean {
  if (bytes.length === 0) return false;
  const fields = inside(firstDer(bytes), SEQUENCE);
  const includes = (element: Der) =>
    allDer(element.content).some((oid) => [ANY, PURPOSES[use]].includes(oidText(oid)));
  const trusted = fields.find(({ tag }) => tag === SEQUENCE);
  const rejected = fields.find(({ tag }) => tag === REJECTED);
  return (rejected !== undefined && includes(rejected)) ||
    (trusted !== undefined && !includes(trusted));
}

/** [0] IMPLICIT SEQUENCE. */
const REJECTED = 0xa0;

const ANY = "2.5.29.37.0";

const PURPOSES: Readonly<Record<Use, string>> = {
  clients: "1.3.6.1.5.5.7.3.2",
  servers: "1.3.6.1.5.5.7.3.1",
};
