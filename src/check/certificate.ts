/** What an operator must know of a certificate. */
import { createHash, X509Certificate } from "node:crypto";
import { keyText, weaknessOf } from "../base/certificate_strength.ts";
import { certificateFields, directoryString } from "../base/certificate_fields.ts";
import { allDer, type Der, inside, INTEGER, oidText, SEQUENCE, timeOf } from "../base/der.ts";
import { readLeaf } from "../certificates/leaf.ts";
import { ipText } from "../os/ip.ts";

export interface Certificate {
  readonly der: Uint8Array;
  readonly x509: X509Certificate;
  /** For people, as in `CN=example.com, O=Example`. */
  readonly subject: string;
  readonly issuer: string;
  /** DER. */
  readonly subjectName: Uint8Array;
  readonly issuerName: Uint8Array;
  /** Hexadecimal. */
  readonly serial: string;
  readonly sha256: string;
  /** DNS names in lower case; the common name if there is no subjectAltName. */
  readonly names: readonly string[];
  readonly addresses: readonly string[];
  /** There is no subjectAltName, which current clients need. */
  readonly hasOnlyCommonName: boolean;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** `RSA 2048`, `ECDSA P-256`, `Ed25519`. */
  readonly key: string;
  /** `SHA-256 with RSA`. */
  readonly signature: string;
  /** What is too weak, as in `has an RSA key of 1024 bits`. */
  readonly weakness?: string;
  readonly isCa: boolean;
  /** CAs that may follow below this one. */
  readonly pathLength?: number;
  /** It may sign certificates, by its key usage. */
  readonly maySign: boolean;
  /** It may be used for servers, by its extended key usage. */
  readonly isForServers: boolean;
  readonly isSelfIssued: boolean;
  readonly mustStaple: boolean;
  readonly hasNameConstraints: boolean;
  /** Where its issuer can be downloaded. */
  readonly issuerUrl?: string;
  readonly ocspUrl?: string;
}

const BOOLEAN = 0x01;
const IP_ADDRESS = 0x87;
const URI = 0x86;

/** 2.5.29.17, .19, .15, .30, .37, and 1.3.6.1.5.5.7.1.1, in hex. */
const SUBJECT_ALT_NAME = "551d11";
const BASIC_CONSTRAINTS = "551d13";
const KEY_USAGE = "551d0f";
const NAME_CONSTRAINTS = "551d1e";
const EXTENDED_KEY_USAGE = "551d25";
const AUTHORITY_ACCESS = "2b06010505070101";

const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const ANY_PURPOSE = "2.5.29.37.0";
const OCSP = "1.3.6.1.5.5.7.48.1";
const CA_ISSUERS = "1.3.6.1.5.5.7.48.2";

/** Parses a certificate (RFC 5280 section 4.1). Throws an Error if it is malformed. */
export function readCertificate(der: Uint8Array): Certificate {
  const x509 = new X509Certificate(der);
  const leaf = readLeaf(der);
  const fields = certificateFields(der);
  const { serial, issuer, validity, subject, signatureAlgorithm, extension } = fields;
  const [notBefore, notAfter] = inside(validity, SEQUENCE).map(timeOf);
  const constraints = elements(extension(BASIC_CONSTRAINTS));
  const usage = extension(KEY_USAGE);
  const purposes = elements(extension(EXTENDED_KEY_USAGE)).map(oidText);
  const access = elements(extension(AUTHORITY_ACCESS)).map((each) => inside(each, SEQUENCE));
  const url = (method: string) => {
    const found = access.find(([id, place]) => oidText(id) === method && place?.tag === URI);
    return found && Buffer.from(found[1]!.content).toString("latin1");
  };
  const alternatives = elements(extension(SUBJECT_ALT_NAME));
  const limit = constraints.find(({ tag }) => tag === INTEGER);
  const weakness = weaknessOf(der);
  const [issuerUrl, ocspUrl] = [url(CA_ISSUERS), url(OCSP)];
  return {
    ...{ der, x509, names: leaf.names, mustStaple: leaf.mustStaple },
    subject: nameText(subject!),
    issuer: nameText(issuer!),
    subjectName: subject!.whole,
    issuerName: issuer!.whole,
    serial: Buffer.from(serial!.content).toString("hex"),
    sha256: createHash("sha256").update(der).digest("hex"),
    addresses: alternatives.filter(({ tag, content }) =>
      tag === IP_ADDRESS && (content.length === 4 || content.length === 16)
    ).map(({ content }) => ipText(content)),
    hasOnlyCommonName: alternatives.length === 0,
    ...{ notBefore: notBefore!, notAfter: notAfter! },
    key: keyText(der),
    signature: signatureText(oidText(inside(signatureAlgorithm, SEQUENCE)[0])),
    ...(weakness ? { weakness: weakness.text } : {}),
    isCa: constraints.some(({ tag, content }) => tag === BOOLEAN && content[0] !== 0),
    ...(limit ? { pathLength: limit.content.at(-1)! } : {}),
    // Bit 5 is keyCertSign (RFC 5280 section 4.2.1.3).
    maySign: !usage || (usage.content[1]! & 0x04) !== 0,
    isForServers: purposes.length === 0 || purposes.includes(SERVER_AUTH) ||
      purposes.includes(ANY_PURPOSE),
    isSelfIssued: Buffer.compare(issuer!.whole, subject!.whole) === 0,
    hasNameConstraints: extension(NAME_CONSTRAINTS) !== undefined,
    ...(issuerUrl === undefined ? {} : { issuerUrl }),
    ...(ocspUrl === undefined ? {} : { ocspUrl }),
  };
}

/** Whether `issuer` issued a certificate, by its name and its key. */
export function isIssuedBy(certificate: Certificate, issuer: Certificate): boolean {
  if (Buffer.compare(certificate.issuerName, issuer.subjectName) !== 0) return false;
  try {
    return certificate.x509.verify(issuer.x509.publicKey);
  } catch {
    // The key is of another kind than the signature.
    return false;
  }
}

function elements(sequence: Der | undefined): Der[] {
  return sequence ? inside(sequence, SEQUENCE) : [];
}

const attributes: Readonly<Record<string, string>> = {
  "2.5.4.3": "CN",
  "2.5.4.6": "C",
  "2.5.4.7": "L",
  "2.5.4.8": "ST",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  "2.5.4.5": "serialNumber",
  "0.9.2342.19200300.100.1.25": "DC",
  "1.2.840.113549.1.9.1": "emailAddress",
};

/** Returns a name for people, the most specific part first. */
function nameText(name: Der): string {
  const parts = inside(name, SEQUENCE).flatMap((set) => allDer(set.content)).map((attribute) => {
    const [type, value] = inside(attribute, SEQUENCE);
    const id = oidText(type);
    return `${attributes[id] ?? id}=${directoryString(value!)}`;
  });
  return parts.length === 0 ? "(empty name)" : parts.reverse().join(", ");
}

/** RFC 8017, 5758, 8410, 4055. */
const signatures: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.1.2": "MD2 with RSA",
  "1.2.840.113549.1.1.4": "MD5 with RSA",
  "1.2.840.113549.1.1.5": "SHA-1 with RSA",
  "1.2.840.113549.1.1.10": "RSA-PSS",
  "1.2.840.113549.1.1.11": "SHA-256 with RSA",
  "1.2.840.113549.1.1.12": "SHA-384 with RSA",
  "1.2.840.113549.1.1.13": "SHA-512 with RSA",
  "1.2.840.113549.1.1.14": "SHA-224 with RSA",
  "1.2.840.10045.4.1": "SHA-1 with ECDSA",
  "1.2.840.10045.4.3.2": "SHA-256 with ECDSA",
  "1.2.840.10045.4.3.3": "SHA-384 with ECDSA",
  "1.2.840.10045.4.3.4": "SHA-512 with ECDSA",
  "1.3.101.112": "Ed25519",
  "1.3.101.113": "Ed448",
};

function signatureText(id: string): string {
  return signatures[id] ?? `algorithm ${id}`;
}
