/** What is written to the backend before the client's first byte. */
import { ipBytes, ipFamily, ipText, unmapped } from "../ip.ts";
import type { PrefixKind } from "../options/config.ts";
import { AF_INET, AF_INET6 } from "../platform.ts";
import type { IpEndpoint, TlsFacts } from "../runtime/types.ts";

/**
 * The bytes of a prefix: empty for `none`; for `write-ip` the family as Linux numbers it, then the
 * client's address in network order; else a header of the PROXY protocol, version 1 or 2 (sections
 * 2.1 and 2.2 of its specification). IPv4-mapped addresses are written as the IPv4 ones they hold;
 * a PROXY header, which has one family for both ends, does so when both ends are IPv4.
 */
export function prefixBytes(
  kind: PrefixKind,
  client: IpEndpoint,
  frontend: IpEndpoint,
  tls: TlsFacts,
): Uint8Array {
  switch (kind) {
    case "none":
      return new Uint8Array();
    case "write-ip":
      return writeIp(client);
    case "proxy-v1":
      return proxyV1(client, frontend);
    case "proxy-v2":
      return proxyV2(client, frontend, tls);
  }
}

const PP2_SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
const PP2_VERSION_2_PROXY = 0x21;
const PP2_TCP_OVER_IPV4 = 0x11;
const PP2_TCP_OVER_IPV6 = 0x21;
const PP2_TYPE_ALPN = 0x01;
const PP2_TYPE_AUTHORITY = 0x02;
const PP2_TYPE_SSL = 0x20;
const PP2_SUBTYPE_SSL_VERSION = 0x21;
const PP2_SUBTYPE_SSL_CIPHER = 0x23;
const PP2_CLIENT_SSL = 0x01;
/** Not zero: no client certificate was verified. */
const PP2_VERIFY_NONE = [0, 0, 0, 1];

const utf8 = new TextEncoder();

function writeIp(client: IpEndpoint): Uint8Array {
  const address = ipBytes(plainAddress(client));
  return Uint8Array.of(address.length === 4 ? AF_INET : AF_INET6, ...address);
}

/** At most 104 bytes, within the 107 that section 2.1 lets a receiver reserve. */
function proxyV1(client: IpEndpoint, frontend: IpEndpoint): Uint8Array {
  const [source, destination] = sameFamily(client, frontend);
  const family = source.length === 4 ? "TCP4" : "TCP6";
  const addresses = `${ipText(source)} ${ipText(destination)}`;
  return utf8.encode(`PROXY ${family} ${addresses} ${client.port} ${frontend.port}\r\n`);
}

function proxyV2(client: IpEndpoint, frontend: IpEndpoint, tls: TlsFacts): Uint8Array {
  const [source, destination] = sameFamily(client, frontend);
  const body = [
    ...source,
    ...destination,
    ...uint16(client.port),
    ...uint16(frontend.port),
    ...textTlv(PP2_TYPE_ALPN, tls.alpn),
    ...textTlv(PP2_TYPE_AUTHORITY, tls.serverName),
    ...sslTlv(tls),
  ];
  return Uint8Array.of(
    ...PP2_SIGNATURE,
    PP2_VERSION_2_PROXY,
    source.length === 4 ? PP2_TCP_OVER_IPV4 : PP2_TCP_OVER_IPV6,
    ...uint16(body.length),
    ...body,
  );
}

/** Section 2.2.6: PP2_CLIENT_SSL demands the version, so without one there is no SSL TLV at all. */
function sslTlv(tls: TlsFacts): number[] {
  const version = textTlv(PP2_SUBTYPE_SSL_VERSION, tls.version);
  if (version.length === 0) return [];
  const cipher = textTlv(PP2_SUBTYPE_SSL_CIPHER, tls.cipher);
  return tlv(PP2_TYPE_SSL, [PP2_CLIENT_SSL, ...PP2_VERIFY_NONE, ...version, ...cipher]);
}

/** Left out when unknown, and when longer than a name, token or label of TLS can be. */
function textTlv(type: number, text: string | undefined): number[] {
  if (!text) return [];
  const value = utf8.encode(text);
  return value.length > 255 ? [] : tlv(type, value);
}

function tlv(type: number, value: Iterable<number> & ArrayLike<number>): number[] {
  return [type, ...uint16(value.length), ...value];
}

function uint16(value: number): [number, number] {
  return [value >> 8, value & 0xff];
}

/** Both addresses with 4 bytes, or both with 16. */
function sameFamily(a: IpEndpoint, b: IpEndpoint): [Uint8Array, Uint8Array] {
  const plain = [plainAddress(a), plainAddress(b)] as const;
  const wide = plain.some((address) => ipFamily(address) === 6);
  const bytes = (address: string) =>
    ipBytes(wide && ipFamily(address) === 4 ? `::ffff:${address}` : address);
  return [bytes(plain[0]), bytes(plain[1])];
}

function plainAddress(endpoint: IpEndpoint): string {
  return unmapped(ipText(ipBytes(endpoint.address)));
}
