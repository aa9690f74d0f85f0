/** Certificates that current clients, and some of the TLS libraries, refuse as too weak. */
import { certificateFields } from "./certificate_fields.ts";
import { BIT_STRING, type Der, firstDer, inside, INTEGER, SEQUENCE } from "./der.ts";

/** As at OpenSSL's security level 2: 112 bits. */
const MIN_RSA_BITS = 2048;
const MIN_EC_BITS = 224;

/** Signature algorithms with MD2, MD4, MD5 or SHA-1, as OBJECT IDENTIFIERs in hex. */
const weakSignatures: Readonly<Record<string, string>> = {
  "2a864886f70d010102": "MD2",
  "2a864886f70d010103": "MD4",
  "2a864886f70d010104": "MD5",
  "2a864886f70d010105": "SHA-1",
  "2b0e03021d": "SHA-1",
  "2a8648ce380403": "SHA-1",
  "2a8648ce3d0401": "SHA-1",
};

/** Curves by OBJECT IDENTIFIER in hex (RFC 5480, 5639; SEC 2). */
const curves: Readonly<Record<string, string>> = {
  "2b81040021": "secp224r1",
  "2b8104000a": "secp256k1",
  "2b2403030208010107": "brainpoolP256r1",
  "2b240303020801010b": "brainpoolP384r1",
  "2b240303020801010d": "brainpoolP512r1",
};

/** The curves that all builds support. */
const nistCurves: Readonly<Record<string, string>> = {
  "2a8648ce3d030107": "P-256",
  "2b81040022": "P-384",
  "2b81040023": "P-521",
};

const RSA = "2a864886f70d010101";
const EC = "2a8648ce3d0201";
const RSA_PSS = "2a864886f70d01010a";
const ED25519 = "2b6570";
const ED448 = "2b6571";

/** Returns the name of the curve of a certificate's key, if not all builds support it. */
export function rareCurve(certificate: Uint8Array): string | undefined {
  const { algorithm, parameter } = fieldsOf(certificate) ?? {};
  return algorithm === EC ? curves[parameter ?? ""] : undefined;
}

/** Returns a certificate's kind of key, for people: `RSA 2048`, `ECDSA P-256`, `Ed25519`. */
export function keyText(certificate: Uint8Array): string {
  const { algorithm, parameter, keyBits } = fieldsOf(certificate) ?? {};
  switch (algorithm) {
    case RSA:
      return `RSA ${keyBits}`;
    case EC:
      return `ECDSA ${nistCurves[parameter!] ?? curves[parameter!] ?? keyBits}`;
    case RSA_PSS:
      return `RSA-PSS ${keyBits}`;
    case ED25519:
      return "Ed25519";
    case ED448:
      return "Ed448";
    default:
      return "unknown";
  }
}

/** What makes a certificate too weak. */
export interface Weakness {
  /** OpenSSL's name of this reason not to trust a certificate. */
  readonly name: "EE_KEY_TOO_SMALL" | "CA_MD_TOO_WEAK";
  /** As in `has an RSA key of 1024 bits`. */
  readonly text: string;
}

/** Returns what is too weak in a certificate (DER), whose own key may be a CA's; undefined: nothing. */
export function weaknessOf(certificate: Uint8Array): Weakness | undefined {
  const fields = fieldsOf(certificate);
  if (!fields) return undefined;
  const { algorithm, keyBits, signature, isSelfIssued } = fields;
  if (algorithm === RSA && keyBits < MIN_RSA_BITS) {
    return tooSmall(`an RSA key of ${keyBits} bits`, MIN_RSA_BITS);
  }
  if (algorithm === EC && keyBits < MIN_EC_BITS) {
    return tooSmall(`a key of ${keyBits} bits on an elliptic curve`, MIN_EC_BITS);
  }
  const digest = weakSignatures[signature];
  // Nobody verifies the signature of a root.
  if (digest === undefined || isSelfIssued) return undefined;
  return { name: "CA_MD_TOO_WEAK", text: `is signed with ${digest}` };
}

function tooSmall(key: string, least: number): Weakness {
  return { name: "EE_KEY_TOO_SMALL", text: `has ${key}, which is less than ${least}` };
}

interface Fields {
  /** Of the key; OBJECT IDENTIFIERs in hex. */
  readonly algorithm: string;
  readonly parameter: string;
  readonly keyBits: number;
  readonly signature: string;
  readonly isSelfIssued: boolean;
}

/** Returns undefined for what cannot be parsed, which is reported elsewhere. */
function fieldsOf(certificate: Uint8Array): Fields | undefined {
  try {
    const { issuer, subject, publicKey, signatureAlgorithm } = certificateFields(certificate);
    const [keyAlgorithm, key] = inside(publicKey, SEQUENCE);
    const [algorithm, parameter] = inside(keyAlgorithm, SEQUENCE).map(hexOf);
    return {
      algorithm: algorithm!,
      parameter: parameter ?? "",
      keyBits: algorithm === RSA || algorithm === RSA_PSS
        ? rsaBits(key)
        : algorithm === EC
        ? ecBits(key)
        : 0,
      signature: hexOf(inside(signatureAlgorithm, SEQUENCE)[0]!),
      isSelfIssued: Buffer.compare(issuer!.whole, subject!.whole) === 0,
    };
  } catch {
    return undefined;
  }
}

/** The number of bits of the modulus (RFC 8017 appendix A.1.1). */
function rsaBits(key: Der | undefined): number {
  const [modulus] = inside(firstDer(bitString(key)), SEQUENCE);
  if (modulus?.tag !== INTEGER) throw new Error("malformed key");
  const digits = modulus.content.subarray(modulus.content.findIndex((byte) => byte !== 0));
  return digits.length * 8 - Math.clz32(digits[0]!) + 24;
}

/** The size of the field, from an uncompressed or compressed point (SEC 1 section 2.3.3). */
function ecBits(key: Der | undefined): number {
  const point = bitString(key);
  return 8 * (point[0] === 4 ? (point.length - 1) / 2 : point.length - 1);
}

function bitString(element: Der | undefined): Uint8Array {
  if (element?.tag !== BIT_STRING) throw new Error("malformed key");
  return element.content.subarray(1);
}

function hexOf({ content }: Der): string {
  return Buffer.from(content).toString("hex");
}
