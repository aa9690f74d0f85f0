/** What an operator must know of a certificate. */
import { createHash, X509Certificate } from "node:crypto";
import { weaknessOf } from "../base/certificate_strength.ts";
import {
  allDer,
  type Der,
  firstDer,
  GENERALIZED_TIME,
  inside,
  INTEGER,
  OBJECT_IDENTIFIER,
  oidText,
  SEQUENCE,
  UTC_TIME,
} from "../base/der.ts";
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
  /** `RSA 2048 bits`, `EC P-256`, `Ed25519`. */
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

const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
const BOOLEAN = 0x01;
const IP_ADDRESS = 0x87;
const URI = 0x86;
const BMP_STRING = 0x1e;

const SUBJECT_ALT_NAME = "2.5.29.17";
const BASIC_CONSTRAINTS = "2.5.29.19";
const KEY_USAGE = "2.5.29.15";
const NAME_CONSTRAINTS = "2.5.29.30";
const EXTENDED_KEY_USAGE = "2.5.29.37";
const AUTHORITY_ACCESS = "1.3.6.1.5.5.7.1.1";
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const ANY_PURPOSE = "2.5.29.37.0";
const OCSP = "1.3.6.1.5.5.7.48.1";
const CA_ISSUERS = "1.3.6.1.5.5.7.48.2";

/** Parses a certificate (RFC 5280 section 4.1). Throws an Error if it is malformed. */
export function readCertificate(der: Uint8Array): Certificate {
  const x509 = new X509Certificate(der);
  const leaf = readLeaf(der);
  const [toBeSigned, algorithm] = inside(firstDer(der), SEQUENCE);
  const fields = inside(toBeSigned, SEQUENCE);
  if (fields[0]?.tag === VERSION) fields.shift();
  const [serial, , issuer, validity, subject, , ...optional] = fields;
  const [notBefore, notAfter] = inside(validity, SEQUENCE).map(timeOf);
  const extension = extensionsOf(optional);
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
    key: keyText(x509),
    signature: signatureText(oidText(inside(algorithm, SEQUENCE)[0])),
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

/** Returns a function for the value of an extension, parsed as DER. */
function extensionsOf(optional: readonly Der[]): (id: string) => Der | undefined {
  const extensions = optional.find(({ tag }) => tag === EXTENSIONS);
  const all = extensions
    ? inside(firstDer(extensions.content), SEQUENCE).map((each) => inside(each, SEQUENCE))
    : [];
  return (id) => {
    const found = all.find(([name]) => name?.tag === OBJECT_IDENTIFIER && oidText(name) === id);
    return found && firstDer(found.at(-1)!.content);
  };
}

function elements(sequence: Der | undefined): Der[] {
  return sequence ? inside(sequence, SEQUENCE) : [];
}

/** Returns milliseconds since 1970 (RFC 5280 section 4.1.2.5). Throws an Error. */
export function timeOf(element: Der | undefined): number {
  const text = Buffer.from(element?.content ?? []).toString("latin1");
  const century = Number(text.slice(0, 2)) < 50 ? "20" : "19";
  const digits = element?.tag === UTC_TIME ? century + text : text;
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(digits) ?? [];
  const isTime = element?.tag === UTC_TIME || element?.tag === GENERALIZED_TIME;
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (!isTime || Number.isNaN(time)) throw new Error("malformed time");
  return time;
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
    const bytes = Buffer.from(value!.content);
    const isWide = value!.tag === BMP_STRING && bytes.length % 2 === 0;
    return `${attributes[id] ?? id}=${isWide ? bytes.swap16().toString("utf16le") : bytes}`;
  });
  return parts.length === 0 ? "(empty name)" : parts.reverse().join(", ");
}

const curveNames: Readonly<Record<string, string>> = {
  prime256v1: "P-256",
  "P-256": "P-256",
  secp384r1: "P-384",
  "P-384": "P-384",
  secp521r1: "P-521",
  "P-521": "P-521",
};

function keyText({ publicKey }: X509Certificate): string {
  const { asymmetricKeyType: type = "", asymmetricKeyDetails: details = {} } = publicKey;
  const { modulusLength, namedCurve } = details;
  switch (type) {
    case "rsa":
      return `RSA ${modulusLength} bits`;
    case "rsa-pss":
      return `RSA-PSS ${modulusLength} bits`;
    case "ec":
      return `EC ${curveNames[namedCurve ?? ""] ?? namedCurve}`;
    case "ed25519":
      return "Ed25519";
    default:
      return type;
  }
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
