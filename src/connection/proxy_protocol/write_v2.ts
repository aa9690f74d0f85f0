/** Writes headers of the PROXY protocol, version 2. */
import { ipBytes, mapped, unmappedBytes } from "../../os/ip.ts";
import type { ProxyTlv } from "../../options/config.ts";
import type { PeerCertificate } from "../../runtime/tls.ts";
import type { TlsFacts } from "../../runtime/tls.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import { certificateFacts, trustedPem } from "../certificate_facts.ts";
import { crc32c } from "./crc32c.ts";
import {
  CRC32C_TLV_SIZE,
  MAX_HEADER_SIZE,
  PP2_CLIENT_CERT_CONN,
  PP2_CLIENT_CERT_SESS,
  PP2_CLIENT_SSL,
  PP2_PROXY,
  PP2_SIGNATURE,
  PP2_SUBTYPE_SSL_CIPHER,
  PP2_SUBTYPE_SSL_CLIENT_CERT,
  PP2_SUBTYPE_SSL_CN,
  PP2_SUBTYPE_SSL_KEY_ALG,
  PP2_SUBTYPE_SSL_SIG_ALG,
  PP2_SUBTYPE_SSL_VERSION,
  PP2_TCP_OVER_IPV4,
  PP2_TCP_OVER_IPV6,
  PP2_TYPE_ALPN,
  PP2_TYPE_AUTHORITY,
  PP2_TYPE_CRC32C,
  PP2_TYPE_HITCH_CERT,
  PP2_TYPE_SSL,
  PP2_TYPE_UNIQUE_ID,
  PP2_UNSPEC,
  PP2_VERSION,
  TLV_HEAD_SIZE,
} from "./constants.ts";
import { verifyErrorNumber } from "../../base/verify_errors.ts";

/** What a prefix can contain about a connection. */
export interface ConnectionInfo {
  readonly client: Endpoint;
  /** The address that the client connected to. */
  readonly frontend: Endpoint;
  readonly tls: TlsFacts;
  /** ASCII; only if the TLV is configured. */
  readonly uniqueId?: string | undefined;
}

/** The addresses of both ends in one family: both have 4 bytes, or both 16. */
export interface CommonAddresses {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly ports: readonly [number, number];
}

/**
 * Returns a header with the PROXY command and those of `tlvs` whose values are known, in a fixed
 * order: ALPN, AUTHORITY, UNIQUE_ID, hitch's certificate, SSL with its parts, CRC32C. A TLV that
 * does not fit into 16 KiB is omitted; so is SSL if the TLS version is unknown, which section 2.2.6
 * requires.
 */
export function proxyV2(info: ConnectionInfo, tlvs: ReadonlySet<ProxyTlv>): Uint8Array {
  const { client, frontend, tls } = info;
  const header = new Writer();
  header.bytes(PP2_SIGNATURE);
  header.byte(PP2_VERSION | PP2_PROXY);
  const ends = commonAddresses(client, frontend);
  header.byte(ends ? transportOf(ends) : PP2_UNSPEC);
  const content = header.beginBlock();
  if (ends) {
    header.bytes(ends.source);
    header.bytes(ends.destination);
    header.uint16(ends.ports[0]);
    header.uint16(ends.ports[1]);
  }
  if (tlvs.has("alpn")) textTlv(header, PP2_TYPE_ALPN, tls.alpn);
  if (tlvs.has("authority")) textTlv(header, PP2_TYPE_AUTHORITY, tls.serverName);
  if (tlvs.has("unique-id")) textTlv(header, PP2_TYPE_UNIQUE_ID, info.uniqueId);
  if (tls.peer && tlvs.has("hitch-cert")) {
    header.tlv(PP2_TYPE_HITCH_CERT, utf8.encode(trustedPem(tls.peer.der)), RESERVED_FOR_TEXTS);
  }
  if (tls.version && sslTlvs.some((tlv) => tlvs.has(tlv))) sslTlv(header, tls, tlvs);
  if (tlvs.has("crc32c")) header.endBlockWithChecksum(content);
  else header.endBlock(content);
  return header.written();
}

/** Returns undefined if one of the ends is a Unix socket. */
export function commonAddresses(
  client: Endpoint,
  frontend: Endpoint,
): CommonAddresses | undefined {
  if (client.family === "unix" || frontend.family === "unix") return undefined;
  const source = unmappedBytes(ipBytes(client.address));
  const destination = unmappedBytes(ipBytes(frontend.address));
  const ports = [client.port, frontend.port] as const;
  if (source.length === destination.length) return { source, destination, ports };
  return { source: mapped(source), destination: mapped(destination), ports };
}

const utf8 = new TextEncoder();

/** Maximum length of a TLS name, token or label, in bytes. */
const MAX_TEXT = 255;
/** Bytes that a certificate must leave for the texts after it. */
const RESERVED_FOR_TEXTS = 2048;

/** Each requires the SSL TLV. */
const sslTlvs: readonly ProxyTlv[] = ["ssl", "cn", "sig-alg", "key-alg", "client-cert"];

function transportOf({ source }: CommonAddresses): number {
  return source.length === 4 ? PP2_TCP_OVER_IPV4 : PP2_TCP_OVER_IPV6;
}

function sslTlv(header: Writer, tls: TlsFacts, tlvs: ReadonlySet<ProxyTlv>): void {
  const { peer, presented } = tls;
  header.byte(PP2_TYPE_SSL);
  const content = header.beginBlock();
  header.byte(clientFlags(tls));
  header.uint16(0);
  header.uint16(verifyResult(peer));
  textTlv(header, PP2_SUBTYPE_SSL_VERSION, tls.version);
  if (peer && tlvs.has("cn")) {
    textTlv(header, PP2_SUBTYPE_SSL_CN, certificateFacts(peer.der).commonName);
  }
  if (tlvs.has("ssl")) textTlv(header, PP2_SUBTYPE_SSL_CIPHER, tls.cipher);
  if (presented && (tlvs.has("sig-alg") || tlvs.has("key-alg"))) {
    const { signatureAlgorithm, keyAlgorithm } = certificateFacts(presented);
    if (tlvs.has("sig-alg")) textTlv(header, PP2_SUBTYPE_SSL_SIG_ALG, signatureAlgorithm);
    if (tlvs.has("key-alg")) textTlv(header, PP2_SUBTYPE_SSL_KEY_ALG, keyAlgorithm);
  }
  if (peer && tlvs.has("client-cert")) header.tlv(PP2_SUBTYPE_SSL_CLIENT_CERT, peer.der);
  header.endBlock(content);
}

function clientFlags({ peer, resumed }: TlsFacts): number {
  if (!peer) return PP2_CLIENT_SSL;
  return PP2_CLIENT_SSL | PP2_CLIENT_CERT_SESS | (resumed ? 0 : PP2_CLIENT_CERT_CONN);
}

/** Returns 0 only for a verified certificate; 1 without a certificate, as hitch does. */
function verifyResult(peer: PeerCertificate | undefined): number {
  if (!peer) return verifyErrorNumber("UNSPECIFIED");
  return peer.verifyError === undefined ? 0 : verifyErrorNumber(peer.verifyError);
}

/** Omitted if unknown or longer than {@link MAX_TEXT}. */
function textTlv(header: Writer, type: number, text: string | undefined): void {
  if (!text || text.length > MAX_TEXT) return;
  const value = utf8.encode(text);
  if (value.length <= MAX_TEXT) header.tlv(type, value);
}

/** Writes a header into one buffer; every connection has one, so it allocates no arrays. */
class Writer {
  private static readonly buffer = new Uint8Array(MAX_HEADER_SIZE);
  private length = 0;

  byte(value: number): void {
    Writer.buffer[this.length++] = value;
  }

  uint16(value: number): void {
    this.byte(value >> 8);
    this.byte(value & 0xff);
  }

  bytes(bytes: Uint8Array): void {
    Writer.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** Omits it unless `reserve` bytes and a checksum fit after it. */
  tlv(type: number, value: Uint8Array, reserve = 0): void {
    const end = this.length + TLV_HEAD_SIZE + value.length;
    if (end + reserve + CRC32C_TLV_SIZE > MAX_HEADER_SIZE) return;
    this.byte(type);
    this.uint16(value.length);
    this.bytes(value);
  }

  /** Reserves 2 bytes for the length of what is written until `endBlock` is called with the result. */
  beginBlock(): number {
    this.length += 2;
    return this.length;
  }

  endBlock(start: number): void {
    const end = this.length;
    this.length = start - 2;
    this.uint16(end - start);
    this.length = end;
  }

  /** Appends the CRC32C TLV, made with zeros in its place, and ends the block. */
  endBlockWithChecksum(start: number): void {
    this.byte(PP2_TYPE_CRC32C);
    this.uint16(4);
    this.bytes(NO_CHECKSUM);
    this.endBlock(start);
    const checksum = crc32c(Writer.buffer.subarray(0, this.length));
    this.length -= 4;
    this.uint16(checksum >>> 16);
    this.uint16(checksum & 0xffff);
  }

  written(): Uint8Array {
    return Writer.buffer.slice(0, this.length);
  }
}

const NO_CHECKSUM = new Uint8Array(4);
