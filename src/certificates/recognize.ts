/** Names what a file is instead of what was expected, and how to convert it. */
import {
  type Der,
  firstDer,
  GENERALIZED_TIME,
  inside,
  INTEGER,
  OCTET_STRING,
  oidText,
  SEQUENCE,
  UTC_TIME,
} from "../base/der.ts";
import { type PemSection } from "../base/pem.ts";
import { isPrivateKey } from "./keys.ts";

/**
 * Returns a clause that says what the bytes of `file` are and, after a semicolon, how to convert them
 * to PEM if that is known. Quotes none of them.
 */
export function recognize(
  bytes: Buffer,
  sections: readonly PemSection[],
  file: string,
): string {
  if (sections.length > 0) return bySection(sections, file);
  if (bytes.every((byte) => byte === 0 || BLANK.includes(byte))) return "it is empty";
  const magic = MAGIC.find(({ begin }) => bytes.subarray(0, begin.length).equals(begin));
  if (magic) return magic.what(file);
  if (bytes[0] === SEQUENCE) return derKind(bytes, file);
  const start = bytes.toString("latin1", 0, 4096).replace(/^\xef\xbb\xbf/, "").trimStart();
  const [, what] = TEXTS.find(([pattern]) => pattern.test(start)) ?? [];
  if (what !== undefined) return what(file);
  return bytes.subarray(0, 1000).some((byte) => byte === 0)
    ? "it is binary data of an unknown form"
    : "it is a text without PEM sections";
}

const BLANK: readonly number[] = [0x09, 0x0a, 0x0d, 0x20];

type What = (file: string) => string;

const keystore: What = (file) =>
  `it is a Java keystore; convert it with: keytool -importkeystore -srckeystore ${file} ` +
  "-destkeystore NEW.p12 -deststoretype pkcs12, and then: " + fromPkcs12("NEW.p12");

const MAGIC: readonly { readonly begin: Buffer; readonly what: What }[] = [
  { begin: Buffer.of(0xfe, 0xed, 0xfe, 0xed), what: keystore },
  { begin: Buffer.of(0xce, 0xce, 0xce, 0xce), what: keystore },
  { begin: Buffer.from("PK\x03\x04"), what: () => "it is a ZIP archive; unpack it" },
  { begin: Buffer.of(0x1f, 0x8b), what: () => "it is compressed with gzip; unpack it" },
  { begin: Buffer.from("\x7fELF"), what: () => "it is a program" },
];

const TEXTS: readonly (readonly [RegExp, What])[] = [
  [
    /^[ \t]*[a-z][a-z0-9-]+[ \t]*=/m,
    (file) => `it looks like a configuration file; if it is one, use --config=${file}`,
  ],
  [/^PuTTY-User-Key-File/, () => "it is a key for SSH of PuTTY, which is not for TLS"],
  [/^(?:ssh-|ecdsa-sha2-|sk-ssh-)/, () => "it is a public key of OpenSSH, which is not for TLS"],
  [/^---- BEGIN SSH2/, () => "it is a public key for SSH, which is not for TLS"],
  [/^<(?:!DOCTYPE|html|\?xml)/i, () => "it is an HTML or XML page, perhaps of a failed download"],
  [
    // As a variable of an environment or a JSON string has them.
    /^["']?-----BEGIN [^-]+-----(?:\\r)?\\n/,
    (file) =>
      "it has the two characters \\n in place of line ends; convert it with: " +
      `(umask 077; sed 's/\\\\r//g; s/\\\\n/\\n/g; s/["'\\'']//g' ${file} > NEW.pem)`,
  ],
  [
    /^(?:\{\s*["}]|\[\s*[\]{"])/,
    () => "it is JSON or a similar text; write the PEM in it into a file of its own",
  ],
  [
    /^M[A-Za-z0-9+/\s]{40}/,
    (file) =>
      "it is base64 without the lines -----BEGIN …----- and -----END …-----; " +
      `add them, or for a certificate convert it with: base64 -d ${file} | ` +
      "openssl x509 -inform der -out NEW.pem",
  ],
];

function fromPkcs12(file: string): string {
  return `openssl pkcs12 -in ${file} -nodes -out NEW.pem`;
}

const SIGNED_DATA = "1.2.840.113549.1.7.2";
const DATA = "1.2.840.113549.1.7.1";

/** A PKCS#12 archive may have indefinite lengths, which `firstDer` refuses. */
const BER_PKCS12 = Buffer.of(0x30, 0x80, 0x02, 0x01, 0x03);

function derKind(bytes: Buffer, file: string): string {
  if (bytes.subarray(0, BER_PKCS12.length).equals(BER_PKCS12)) return pkcs12(file);
  try {
    return elementKind(inside(firstDer(bytes), SEQUENCE), file);
  } catch {
    return "it is binary data of an unknown form, perhaps damaged DER";
  }
}

function pkcs12(file: string): string {
  return `it is a PKCS#12 archive; convert it with: ${fromPkcs12(file)}`;
}

function elementKind(fields: readonly Der[], file: string): string {
  const convert = (kind: string, command: string) =>
    `it is ${kind} in DER; convert it with: openssl ${command} -inform der -in ${file} -out NEW.pem`;
  const [first, second, third] = fields;
  const content = contentType(first);
  if (content !== undefined) {
    return content === SIGNED_DATA
      ? convert("a PKCS#7 file", "pkcs7 -print_certs")
      : `it is a PKCS#7 or CMS message (${content}), which has no certificates`;
  }
  if (first?.tag === INTEGER) {
    if (second?.tag === SEQUENCE && contentType(inside(second, SEQUENCE)[0]) !== undefined) {
      const isArchive = [DATA, SIGNED_DATA].includes(contentType(inside(second, SEQUENCE)[0])!);
      if (isArchive) return pkcs12(file);
    }
    // The smallest private key has six numbers.
    if (second?.tag === INTEGER && fields.length < 6) return "it has only DH parameters, in DER";
    return convert("a private key", "pkey");
  }
  if (second?.tag === OCTET_STRING) return convert("an encrypted private key", "pkcs8 -topk8");
  if (third === undefined) return "it has only a public key, in DER";
  const inner = inside(first, SEQUENCE);
  // A request has the version 0, and a name instead of a serial number after it.
  if (inner[0]?.tag === INTEGER && inner[1]?.tag === SEQUENCE && inner[3]?.tag === 0xa0) {
    return REQUEST;
  }
  // Only in a CRL times are not inside another element.
  return inner.some(({ tag }) => tag === UTC_TIME || tag === GENERALIZED_TIME)
    ? convert("a CRL", "crl")
    : convert("a certificate", "x509");
}

function contentType(element: Der | undefined): string | undefined {
  return element?.tag === 0x06 ? oidText(element) : undefined;
}

const REQUEST =
  "it is a certificate signing request; send it to a CA, and use the certificate that it issues";

/** What sections of other labels are. */
const LABELS: readonly (readonly [RegExp, What])[] = [
  [/CERTIFICATE REQUEST$/, () => REQUEST],
  [
    /^(?:PKCS7|CMS|PKCS #7 SIGNED DATA)$/,
    (file) =>
      "it is a PKCS#7 file; convert it with: " +
      `openssl pkcs7 -print_certs -in ${file} -out NEW.pem`,
  ],
  [
    /^OPENSSH PRIVATE KEY$/,
    () =>
      "it is a key in OpenSSH's form; convert a copy of it with: ssh-keygen -p -m PKCS8 -f COPY",
  ],
  [/PUBLIC KEY$/, () => "it has only a public key"],
  [/^PGP /, () => "it is an OpenPGP file, which is not for TLS"],
  [/^X509 CRL$/, () => "it has only a CRL"],
  [/CERTIFICATE$/, () => "it has only certificates"],
  [/PARAMETERS$/, () => "it has only parameters"],
];

function bySection(sections: readonly PemSection[], file: string): string {
  if (sections.every(isPrivateKey)) return "it has only a private key";
  for (const [pattern, what] of LABELS) {
    if (sections.some(({ label }) => pattern.test(label))) return what(file);
  }
  return `it has only ${listed(sections)}`;
}

/** Names sections with their lines: `X509 CRL (line 3), PUBLIC KEY (line 20)`. */
export function listed(sections: readonly PemSection[]): string {
  const names = sections.slice(0, MAX_LISTED).map(({ label, line }) => `${label} (line ${line})`);
  const more = sections.length - names.length;
  return names.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

const MAX_LISTED = 5;
