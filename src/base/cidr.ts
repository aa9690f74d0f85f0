import { ipBytes, unmappedBytes } from "../os/ip.ts";

/** An address block (RFC 4632 section 3.1, RFC 4291 section 2.3), which may be a single address. */
export interface Cidr {
  /** 4 or 16 bytes; bits after the prefix are ignored. */
  readonly address: Uint8Array;
  /** Length of the prefix in bits. */
  readonly bits: number;
}

/**
 * Parses `ADDRESS` or `ADDRESS/BITS`. A block of IPv4-mapped addresses becomes the block of their IPv4
 * addresses. Throws a RangeError whose message completes a sentence that begins with the text.
 */
export function parseCidr(text: string): Cidr {
  const [address, prefix, ...others] = text.split("/");
  const whole = addressBytes(address!);
  const widest = whole.length * 8;
  const bits = prefix === undefined ? widest : Number(prefix);
  const isNumber = prefix === undefined || /^(0|[1-9]\d{0,2})$/.test(prefix);
  if (!isNumber || bits > widest || others.length > 0) {
    throw new RangeError(
      `needs a prefix length of 0 to ${widest} after the /, without leading zeros`,
    );
  }
  const embedded = unmappedBytes(whole);
  const hidden = (whole.length - embedded.length) * 8;
  // A block larger than that of the mapped addresses stays an IPv6 block.
  return bits < hidden ? { address: whole, bits } : { address: embedded, bits: bits - hidden };
}

/** True if the block contains the address, which has 4 or 16 bytes as from `unmappedBytes`. */
export function isInCidr({ address: network, bits }: Cidr, address: Uint8Array): boolean {
  if (network.length !== address.length) return false;
  for (let i = 0; i * 8 < bits; i++) {
    const mask = 0xff00 >> Math.min(8, bits - i * 8) & 0xff;
    if ((network[i]! ^ address[i]!) & mask) return false;
  }
  return true;
}

function addressBytes(text: string): Uint8Array {
  try {
    return ipBytes(text);
  } catch {
    const isZoned = text.includes("%");
    throw new RangeError(
      isZoned
        ? "has a zone, which is not supported; remove the % and what follows it"
        : "is not an IP address",
    );
  }
}
