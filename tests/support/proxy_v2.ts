/** A reader of PROXY protocol version 2 headers (haproxy's proxy-protocol.txt, section 2.2). */
import assert from "node:assert/strict";
import type { Endpoint } from "./endpoints.ts";

/** A parsed header; what it does not contain is undefined. */
export interface ProxyV2 {
  /** Bytes of the whole header. */
  readonly length: number;
  /** Undefined for the family UNSPEC. */
  readonly source: Endpoint | undefined;
  readonly destination: Endpoint | undefined;
  /** The types of all TLVs in order, without nested ones. */
  readonly types: readonly number[];
  /** PP2_TYPE_ALPN. */
  readonly alpn: string | undefined;
  /** PP2_TYPE_AUTHORITY. */
  readonly authority: string | undefined;
  /** PP2_TYPE_UNIQUE_ID. */
  readonly uniqueId: string | undefined;
  /** hitch's 0xe0, PEM. */
  readonly hitchCertificate: string | undefined;
  /** Whether PP2_TYPE_CRC32C is correct. */
  readonly checksum: boolean | undefined;
  /** PP2_TYPE_SSL with its version and cipher. */
  readonly tls:
    | { readonly flags: number; readonly verify: number; version: string; cipher: string }
    | undefined;
  /** The types of the TLVs in PP2_TYPE_SSL, in order. */
  readonly tlsTypes: readonly number[];
  /** PP2_SUBTYPE_SSL_CN. */
  readonly commonName: string | undefined;
  /** PP2_SUBTYPE_SSL_SIG_ALG. */
  readonly signatureAlgorithm: string | undefined;
  /** PP2_SUBTYPE_SSL_KEY_ALG. */
  readonly keyAlgorithm: string | undefined;
  /** PP2_SUBTYPE_SSL_CLIENT_CERT, DER. */
  readonly clientCertificate: Buffer | undefined;
}

/** Throws an AssertionError unless the bytes start with a PROXY command over TCP or UNSPEC. */
export function decodeProxyV2(bytes: Buffer): ProxyV2 {
  assert.equal(bytes.toString("hex", 0, 13), "0d0a0d0a000d0a515549540a21");
  const size = { 0x00: 0, 0x11: 4, 0x21: 16 }[bytes[13]!];
  assert.ok(size !== undefined, `family and protocol ${bytes[13]}`);
  const length = 16 + bytes.readUInt16BE(14);
  assert.ok(length <= bytes.length, "the header is longer than what was sent");
  const ports = 16 + 2 * size;
  const tlvs = decodeTlvs(bytes.subarray(size === 0 ? ports : ports + 4, length));
  const tls = tlvs.get(0x20);
  const facts = tls ? decodeTlvs(tls.subarray(5)) : new Map<number, Buffer>();
  const endpoint = (at: number, port: number) =>
    size === 0 ? undefined : { host: address(bytes, at, size), port: bytes.readUInt16BE(port) };
  return {
    length,
    source: endpoint(16, ports),
    destination: endpoint(16 + size, ports + 2),
    types: [...tlvs.keys()],
    alpn: tlvs.get(0x01)?.toString(),
    authority: tlvs.get(0x02)?.toString(),
    uniqueId: tlvs.get(0x05)?.toString(),
    hitchCertificate: tlvs.get(0xe0)?.toString(),
    checksum: isChecksumRight(bytes.subarray(0, length), tlvs.get(0x03)),
    tls: tls && {
      flags: tls[0]!,
      verify: tls.readUInt32BE(1),
      version: String(facts.get(0x21)),
      cipher: String(facts.get(0x23)),
    },
    tlsTypes: [...facts.keys()],
    commonName: facts.get(0x22)?.toString(),
    signatureAlgorithm: facts.get(0x24)?.toString(),
    keyAlgorithm: facts.get(0x25)?.toString(),
    clientCertificate: facts.get(0x28),
  };
}

function decodeTlvs(bytes: Buffer): Map<number, Buffer> {
  const tlvs = new Map<number, Buffer>();
  let at = 0;
  while (at < bytes.length) {
    const end = at + 3 + bytes.readUInt16BE(at + 1);
    assert.ok(end <= bytes.length, "a TLV reaches beyond the header");
    assert.ok(!tlvs.has(bytes[at]!), `TLV ${bytes[at]} comes twice`);
    tlvs.set(bytes[at]!, bytes.subarray(at + 3, end));
    at = end;
  }
  return tlvs;
}

/** In the notation of the URL standard: IPv6 in its shortest form, without dots. */
function address(bytes: Buffer, at: number, size: number): string {
  if (size === 4) return bytes.subarray(at, at + 4).join(".");
  const groups = bytes.toString("hex", at, at + 16).match(/.{4}/g)!.join(":");
  return new URL(`http://[${groups}]`).hostname.slice(1, -1);
}

/** Section 2.2.4: CRC-32C, computed bit by bit, of the header with a checksum of zero. */
function isChecksumRight(header: Buffer, checksum: Buffer | undefined): boolean | undefined {
  if (!checksum) return undefined;
  const at = checksum.byteOffset - header.byteOffset;
  const zeroed = Buffer.from(header).fill(0, at, at + 4);
  let remainder = 0xffffffff;
  for (const byte of zeroed) {
    remainder ^= byte;
    for (let bit = 0; bit < 8; bit++) remainder = remainder >>> 1 ^ (remainder & 1 && 0x82f63b78);
  }
  return checksum.length === 4 && checksum.readUInt32BE() === ~remainder >>> 0;
}
