/** What is written to the backend before the client's first byte. */
import { ipBytes, ipText, mapped, unmappedBytes } from "../ip.ts";
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

const utf8 = new TextEncoder();

const PP2_SIGNATURE = utf8.encode("\r\n\r\n\0\r\nQUIT\n");
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
const PP2_VERIFY_NONE = Uint8Array.of(0, 0, 0, 1);
/** A name, token or label of TLS is no longer than this. */
const MAX_TEXT = 255;

function writeIp(client: IpEndpoint): Uint8Array {
  const address = unmappedBytes(ipBytes(client.address));
  const prefix = new Uint8Array(1 + address.length);
  prefix[0] = address.length === 4 ? AF_INET : AF_INET6;
  prefix.set(address, 1);
  return prefix;
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
  const header = new Writer();
  header.bytes(PP2_SIGNATURE);
  header.byte(PP2_VERSION_2_PROXY);
  header.byte(source.length === 4 ? PP2_TCP_OVER_IPV4 : PP2_TCP_OVER_IPV6);
  header.counted(() => {
    header.bytes(source);
    header.bytes(destination);
    header.uint16(client.port);
    header.uint16(frontend.port);
    textTlv(header, PP2_TYPE_ALPN, tls.alpn);
    textTlv(header, PP2_TYPE_AUTHORITY, tls.serverName);
    // Section 2.2.6: PP2_CLIENT_SSL demands the version.
    if (tls.version) sslTlv(header, tls);
  });
  return header.written();
}

function sslTlv(header: Writer, tls: TlsFacts): void {
  header.byte(PP2_TYPE_SSL);
  header.counted(() => {
    header.byte(PP2_CLIENT_SSL);
    header.bytes(PP2_VERIFY_NONE);
    textTlv(header, PP2_SUBTYPE_SSL_VERSION, tls.version);
    textTlv(header, PP2_SUBTYPE_SSL_CIPHER, tls.cipher);
  });
}

/** Left out when unknown, and when longer than it can be. */
function textTlv(header: Writer, type: number, text: string | undefined): void {
  if (!text || text.length > MAX_TEXT) return;
  const value = utf8.encode(text);
  if (value.length > MAX_TEXT) return;
  header.byte(type);
  header.counted(() => header.bytes(value));
}

/** Puts a header together; every connection has one, so it makes no lists of numbers. */
class Writer {
  /** More than four texts with their addresses and tags can fill. */
  private static readonly room = new Uint8Array(2048);
  private length = 0;

  byte(value: number): void {
    Writer.room[this.length++] = value;
  }

  uint16(value: number): void {
    this.byte(value >> 8);
    this.byte(value & 0xff);
  }

  bytes(bytes: Uint8Array): void {
    Writer.room.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** What `content` writes, with its length of 2 bytes before it. */
  counted(content: () => void): void {
    const start = this.length;
    this.length += 2;
    content();
    const end = this.length;
    this.length = start;
    this.uint16(end - start - 2);
    this.length = end;
  }

  written(): Uint8Array {
    return Writer.room.slice(0, this.length);
  }
}

/** Both addresses with 4 bytes, or both with 16. */
function sameFamily(a: IpEndpoint, b: IpEndpoint): [Uint8Array, Uint8Array] {
  const first = unmappedBytes(ipBytes(a.address));
  const second = unmappedBytes(ipBytes(b.address));
  if (first.length === second.length) return [first, second];
  return [mapped(first), mapped(second)];
}
