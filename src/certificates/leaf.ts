import type { StoredCertificate } from "./served_tls.ts";
import { certificateFields, directoryString, oidHex } from "../base/certificate_fields.ts";
import { allDer, type Der, inside, INTEGER, SEQUENCE } from "../base/der.ts";
import { oneLine } from "../base/one_line.ts";

/** The fields of a server's own certificate. */
export interface Leaf {
  /** Lower case, printable ASCII; `*.` before a wildcard's parent. */
  readonly names: readonly string[];
  /** It has neither a subjectAltName with entries nor a common name. */
  readonly isNameless: boolean;
  /** Clients must refuse it without a stapled OCSP response (RFC 7633). */
  readonly mustStaple: boolean;
  /** The issuer's common name, or its organization; "" if it has neither. Any text, on one line. */
  readonly issuer: string;
  /** For an unsupported type: its name, for messages. */
  readonly keyType: StoredCertificate["keyType"] | { readonly unsupported: string };
}

/** Key types by OBJECT IDENTIFIER in hex (RFC 3279, 5280, 4055, 8410). */
const keyTypes: Record<string, Leaf["keyType"]> = {
  "2a864886f70d010101": "rsa",
  "2a8648ce3d0201": "ec",
  "2b6570": "ed25519",
  "2a864886f70d01010a": { unsupported: "RSA-PSS" },
  "2b6571": { unsupported: "Ed448" },
  "2a8648ce380401": { unsupported: "DSA" },
};

/** 2.5.29.17, 1.3.6.1.5.5.7.1.24, 2.5.4.3 and 2.5.4.10 in hex. */
const SUBJECT_ALT_NAME = "551d11";
const TLS_FEATURE = "2b06010505070118";
const COMMON_NAME = "550403";
const ORGANIZATION = "55040a";

/** The context-specific tag in GeneralName (RFC 5280 section 4.2.1.6). */
const DNS_NAME = 0x82;

/**
 * A name that SNI can carry: ASCII (RFC 6066 section 3), up to 255 bytes (RFC 1035 section 2.3.4).
 */
const USABLE_NAME = /^[!-~]{1,255}$/;

/**
 * Parses a certificate in DER. The names are the DNS names of the subjectAltName extension, or the
 * common name if the extension has no entries. The text forms of `node:crypto` are unusable: Deno
 * neither quotes nor escapes them, so an entry of another type can look like a DNS name. Throws an
 * Error if the certificate is malformed.
 */
export function readLeaf(der: Uint8Array): Leaf {
  const { issuer, subject, publicKey, extension } = certificateFields(der);
  const alternatives = elements(extension(SUBJECT_ALT_NAME));
  const commonName = alternatives.length > 0 ? undefined : readName(subject, COMMON_NAME);
  const dnsNames = alternatives.filter(({ tag }) => tag === DNS_NAME)
    .map(({ content }) => Buffer.from(content).toString("latin1"));
  const names = commonName === undefined ? dnsNames : [commonName];
  return {
    names: [...new Set(names.filter((name) => USABLE_NAME.test(name)).map(lowerCase))],
    isNameless: alternatives.length === 0 && commonName === undefined,
    mustStaple: elements(extension(TLS_FEATURE)).some(isStatusRequest),
    issuer: issuerName(issuer),
    keyType: readKeyType(publicKey),
  };
}

/** Returns the name of an issuer as in {@link Leaf}. */
export function issuerName(issuer: Der | undefined): string {
  return oneLine(readName(issuer, COMMON_NAME) ?? readName(issuer, ORGANIZATION) ?? "");
}

function lowerCase(name: string): string {
  return name.toLowerCase();
}

/** Returns those of an extension whose value is a SEQUENCE; none if it is absent. */
function elements(extension: Der | undefined): Der[] {
  return extension ? inside(extension, SEQUENCE) : [];
}

/** The feature status_request or status_request_v2 (RFC 6066 section 8, RFC 6961). */
function isStatusRequest({ tag, content }: Der): boolean {
  return tag === INTEGER && content.length === 1 && (content[0] === 5 || content[0] === 17);
}

/** Returns the first attribute of a type. A name is a SEQUENCE of SETs of attributes. */
function readName(name: Der | undefined, wanted: string): string | undefined {
  for (const set of inside(name, SEQUENCE)) {
    for (const attribute of allDer(set.content)) {
      const [type, value] = inside(attribute, SEQUENCE);
      if (oidHex(type) === wanted && value) return directoryString(value);
    }
  }
  return undefined;
}

function readKeyType(publicKey: Der | undefined): Leaf["keyType"] {
  const [algorithm] = inside(publicKey, SEQUENCE);
  const id = oidHex(inside(algorithm, SEQUENCE)[0]);
  return keyTypes[id] ?? { unsupported: `unknown (${id})` };
}
