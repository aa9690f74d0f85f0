import { isInCidr, parseCidr } from "../base/cidr.ts";
import type { Endpoint } from "../os/endpoint.ts";
import { ipBytes, unmappedBytes } from "../os/ip.ts";

const UNIX = "unix";

/**
 * Tells whether a peer is in a list of numeric addresses and CIDR blocks, in which the word `unix`
 * stands for every peer of a Unix socket. IPv4-mapped addresses, in the list or of a peer, count as
 * the IPv4 ones they hold, and blocks of IPv6 never hold an IPv4 address. Throws a RangeError for
 * an item which is none of these; the options accept no such item.
 */
export function trustedPeers(list: readonly string[]): (peer: Endpoint) => boolean {
  const blocks = list.filter((item) => item !== UNIX).map(parseCidr);
  const trustsUnix = list.includes(UNIX);
  return (peer) => {
    if (peer.family === "unix") return trustsUnix;
    const address = unmappedBytes(ipBytes(peer.address));
    return blocks.some((block) => isInCidr(block, address));
  };
}
