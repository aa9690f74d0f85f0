import { ipBytes, unmappedBytes } from "../os/ip.ts";
import type { Endpoint } from "../os/endpoint.ts";

/**
 * Tells whether a peer is in a list of numeric addresses and CIDR blocks (RFC 4632), in which the
 * word `unix` stands for every peer of a Unix socket. IPv4-mapped addresses, in the list or of a
 * peer, count as the IPv4 ones they hold, and blocks of IPv6 never hold an IPv4 address.
 * Throws a RangeError that names an item which is none of these.
 */
export function trustedPeers(list: readonly string[]): (peer: Endpoint) => boolean {
  const blocks = list.filter((item) => item !== UNIX).map(readBlock);
  const trustsUnix = list.includes(UNIX);
  return (peer) => {
    if (peer.family === "unix") return trustsUnix;
    const address = unmappedBytes(ipBytes(peer.address));
    return blocks.some((block) => holds(block, address));
  };
}

const UNIX = "unix";

interface Block {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** So many first bits count. */
  readonly bits: number;
}

function readBlock(item: string): Block {
  const [, text, bits] = /^([^/]*)(?:\/(0|[1-9]\d{0,2}))?$/.exec(item) ?? [];
  if (text === undefined) throw notABlock(item);
  const whole = ipBytes(text);
  const count = bits === undefined ? whole.length * 8 : Number(bits);
  if (count > whole.length * 8) throw notABlock(item);
  const address = unmappedBytes(whole);
  const hidden = (whole.length - address.length) * 8;
  // A block that is wider than the mapped addresses is one of IPv6.
  return count < hidden ? { address: whole, bits: count } : { address, bits: count - hidden };
}

function holds({ address: network, bits }: Block, address: Uint8Array): boolean {
  if (network.length !== address.length) return false;
  for (let i = 0; i * 8 < bits; i++) {
    const mask = 0xff00 >> Math.min(8, bits - i * 8) & 0xff;
    if ((network[i]! ^ address[i]!) & mask) return false;
  }
  return true;
}

function notABlock(item: string): RangeError {
  return new RangeError(`not an IP address, a CIDR block or "${UNIX}": ${item}`);
}
