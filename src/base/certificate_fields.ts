/** The fields of a certificate (RFC 5280 section 4.1) as DER. */
import { type Der, firstDer, inside, OBJECT_IDENTIFIER, SEQUENCE } from "./der.ts";

/** A field is undefined if the certificate ends before it. */
export interface CertificateFields {
  readonly serial: Der | undefined;
  readonly issuer: Der | undefined;
  readonly validity: Der | undefined;
  readonly subject: Der | undefined;
  readonly publicKey: Der | undefined;
  /** The algorithm of the issuer's signature. */
  readonly signatureAlgorithm: Der | undefined;
  /**
   * Returns the parsed value of the extension with this OBJECT IDENTIFIER in hex; undefined if it is
   * absent. Throws an Error if it is malformed.
   */
  extension(id: string): Der | undefined;
}

/** Context-specific tags of TBSCertificate. */
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
const BMP_STRING = 0x1e;

/** Throws an Error if the certificate is malformed. */
export function certificateFields(certificate: Uint8Array): CertificateFields {
  const [toBeSigned, signatureAlgorithm] = inside(firstDer(certificate), SEQUENCE);
  const fields = inside(toBeSigned, SEQUENCE);
  if (fields[0]?.tag === VERSION) fields.shift();
  const [serial, , issuer, validity, subject, publicKey, ...optional] = fields;
  const found = optional.find(({ tag }) => tag === EXTENSIONS);
  const extensions = found
    ? inside(firstDer(found.content), SEQUENCE).map((each) => inside(each, SEQUENCE))
    : [];
  return {
    ...{ serial, issuer, validity, subject, publicKey, signatureAlgorithm },
    extension(id) {
      const extension = extensions.find((parts) => oidHex(parts[0]) === id);
      return extension && firstDer(extension.at(-1)!.content);
    },
  };
}

/** Returns an OBJECT IDENTIFIER in hex. Throws an Error if it has another tag. */
export function oidHex(element: Der | undefined): string {
  if (element?.tag !== OBJECT_IDENTIFIER) throw new Error("malformed DER");
  return Buffer.from(element.content).toString("hex");
}

/** Returns the text of a DirectoryString (RFC 5280 section 4.1.2.4). */
export function directoryString({ tag, content }: Der): string {
  const bytes = Buffer.from(content);
  // BMPString is big-endian UTF-16. The other string types agree in ASCII, which is all a name has.
  return tag === BMP_STRING && bytes.length % 2 === 0
    ? bytes.swap16().toString("utf16le")
    : bytes.toString("utf8");
}
