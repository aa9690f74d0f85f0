import { isInCidr, parseCidr } from "../base/cidr.ts";
import type { Endpoint } from "../os/endpoint.ts";
import { ipBytes, unmappedBytes } from "../os/ip.ts";

const UNIX = "unix";

/**
 * Returns a predicate for peers in a list of numeric addresses and CIDR blocks, in which `unix`
 * stands for every peer of a Unix socket. IPv4-mapped addresses, in the list or of a peer, count as
 * IPv4, and an IPv6 block never contains an IPv4 address. Throws a RangeError for any other item;
 * the options accept none.
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
