/** What is written to the backend before the client's first byte. */
import { ipBytes, ipText, unmappedBytes } from "../os/ip.ts";
import type { PrefixKind, ProxyTlv } from "../options/config.ts";
import { AF_INET6 } from "../os/constants.ts";
import { AF_INET } from "../os/constants.ts";
import type { Endpoint } from "../os/endpoint.ts";
import { commonAddresses, type ConnectionInfo, proxyV2 } from "./proxy_protocol/write_v2.ts";

/**
 * Returns the bytes of a prefix: none for `none`; for `write-ip` Linux's number of the family, then
 * the client's address in network order; else a PROXY protocol header, version 1 or 2 (sections 2.1
 * and 2.2 of its specification); `tlvs` are for version 2. IPv4-mapped addresses are written as
 * IPv4; in a PROXY header, which has one family for both ends, only if both ends are IPv4. A Unix
 * socket has no address that a backend could use: a PROXY header then has none, and write-ip, which
 * needs one, has 0.0.0.0.
 */
export function prefixBytes(
  kind: PrefixKind,
  info: ConnectionInfo,
  tlvs: ReadonlySet<ProxyTlv>,
): Uint8Array {
  switch (kind) {
    case "none":
      return new Uint8Array();
    case "write-ip":
      return writeIp(info.client);
    case "proxy-v1":
      return proxyV1(info);
    case "proxy-v2":
      return proxyV2(info, tlvs);
  }
}

const ascii = new TextEncoder();

function writeIp(client: Endpoint): Uint8Array {
  const address = unmappedBytes(ipBytes(client.family === "unix" ? "0.0.0.0" : client.address));
  const prefix = new Uint8Array(1 + address.length);
  prefix[0] = address.length === 4 ? AF_INET : AF_INET6;
  prefix.set(address, 1);
  return prefix;
}

/** At most 104 bytes; section 2.1 allows 107. */
function proxyV1({ client, frontend }: ConnectionInfo): Uint8Array {
  const ends = commonAddresses(client, frontend);
  if (!ends) return ascii.encode("PROXY UNKNOWN\r\n");
  const { source, destination, ports } = ends;
  const family = source.length === 4 ? "TCP4" : "TCP6";
  const addresses = `${ipText(source)} ${ipText(destination)}`;
  return ascii.encode(`PROXY ${family} ${addresses} ${ports[0]} ${ports[1]}\r\n`);
}
