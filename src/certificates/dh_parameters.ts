/** DH parameters in PEM sections. */
import { type Der, firstDer, inside, INTEGER, SEQUENCE, sequenceOf } from "../base/der.ts";
import { derOf, derToPem, type PemSection } from "../base/pem.ts";

export function isDhParameters({ label }: Pick<PemSection, "label">): boolean {
  return label === PKCS3 || label === X9_42;
}

/**
 * Returns DH parameters as PEM in the form of PKCS #3, the only one that Node takes, or undefined if
 * no current TLS library would accept them.
 */
export function usableDh(section: PemSection): string | undefined {
  try {
    const fields = inside(firstDer(derOf(section)), SEQUENCE);
    const [prime, base] = fields;
    if (prime?.tag !== INTEGER || base?.tag !== INTEGER) return undefined;
    const length = bitLength(prime);
    if (length < MIN_DH_BITS || length > MAX_DH_BITS) return undefined;
    const bits = section.label === X9_42 ? orderLength(fields) : privateLength(fields);
    if (bits !== undefined && (bits < MIN_PRIVATE_BITS || bits >= length)) {
      // Without a length, private values are as long as the prime.
      return section.label === X9_42 ? undefined : toPkcs3(prime, base);
    }
    return toPkcs3(prime, base, bits);
  } catch {
    return undefined;
  }
}

const PKCS3 = "DH PARAMETERS";
/** As `openssl dhparam -dsaparam` writes them. */
const X9_42 = "X9.42 DH PARAMETERS";

/** OpenSSL's security level 2, Node's default, refuses shorter primes; those of 1024 bits are broken. */
const MIN_DH_BITS = 2048;

/** OPENSSL_DH_MAX_MODULUS_BITS. */
const MAX_DH_BITS = 10_000;

/** NIST SP 800-57 part 1, table 2: what a prime of 2048 bits, and security level 2, ask for. */
const MIN_PRIVATE_BITS = 224;

/**
 * RFC 3279 section 2.3.3 has p, g, q. Private values count modulo q, the order of g, so they are as
 * long as q; OpenSSL judges the parameters by that length.
 */
function orderLength([, , order]: readonly Der[]): number {
  if (order?.tag !== INTEGER) throw new Error("malformed DH parameters");
  return bitLength(order);
}

/** PKCS #3 section 9: p, g and perhaps the length of private values in bits. */
function privateLength([, , length]: readonly Der[]): number | undefined {
  if (length === undefined) return undefined;
  if (length.tag !== INTEGER || length.content.length > 2) {
    throw new Error("malformed DH parameters");
  }
  return Buffer.from(length.content).readUIntBE(0, length.content.length);
}

function toPkcs3(prime: Der, base: Der, bits?: number): string {
  const length = bits === undefined ? [] : [Buffer.of(INTEGER, 2, bits >> 8, bits & 0xff)];
  return derToPem(PKCS3, sequenceOf(prime.whole, base.whole, ...length));
}

function bitLength({ content }: Der): number {
  return BigInt(`0x${Buffer.from(content).toString("hex")}`).toString(2).length;
}
