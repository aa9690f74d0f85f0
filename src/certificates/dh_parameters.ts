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
    const isUsable = prime?.tag === INTEGER && base?.tag === INTEGER &&
      prime.content.length >= MIN_DH_BYTES;
    if (!isUsable) return undefined;
    return derToPem(
      PKCS3,
      section.label === X9_42 ? toPkcs3(fields) : firstDer(derOf(section)).whole,
    );
  } catch {
    return undefined;
  }
}

const PKCS3 = "DH PARAMETERS";
/** As `openssl dhparam -dsaparam` writes them. */
const X9_42 = "X9.42 DH PARAMETERS";

/** Minimum length of a DH prime that current TLS libraries and clients accept, in bytes. */
const MIN_DH_BYTES = 1024 / 8;

/**
 * RFC 3279 section 2.3.3 has p, g, q; PKCS #3 has p, g and the length of private values in bits.
 * These must be below q, the order of g: a length one bit less than that of q ensures it.
 */
function toPkcs3([prime, base, order]: readonly Der[]): Uint8Array {
  if (order?.tag !== INTEGER) throw new Error("malformed DH parameters");
  const bits = BigInt(`0x${Buffer.from(order.content).toString("hex")}`).toString(2).length - 1;
  const length = Buffer.of(INTEGER, 2, bits >> 8, bits & 0xff);
  return sequenceOf(prime!.whole, base!.whole, length);
}
