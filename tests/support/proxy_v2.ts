/** A reader of PROXY protocol version 2 headers (haproxy's proxy-protocol.txt, section 2.2). */
import assert from "node:assert/strict";
import { SocketAddress } from "node:net";
import type { Endpoint } from "./endpoints.ts";

/** A header, taken apart. */
export interface ProxyV2 {
  /** Bytes of the whole header. */
  readonly length: number;
  readonly source: Endpoint;
  readonly destination: Endpoint;
  /** PP2_TYPE_AUTHORITY. */
  readonly authority: string | undefined;
  /** PP2_TYPE_SSL with its version and cipher. */
  readonly tls:
    | { readonly flags: number; readonly verify: number; version: string; cipher: string }
    | undefined;
}

/** Throws an AssertionError for anything but a PROXY command over TCP at the beginning. */
export function decodeProxyV2(bytes: Buffer): ProxyV2 {
  assert.equal(bytes.toString("hex", 0, 13), "0d0a0d0a000d0a515549540a21");
  const family = { 0x11: "ipv4", 0x21: "ipv6" }[bytes[13]!];
  assert.ok(family, `family and protocol ${bytes[13]}`);
  const size = family === "ipv4" ? 4 : 16;
  const length = 16 + bytes.readUInt16BE(14);
  assert.ok(length <= bytes.length, "the header is longer than what was sent");
  const ports = 16 + 2 * size;
  const tlvs = decodeTlvs(bytes.subarray(ports + 4, length));
  const tls = tlvs.get(0x20);
  const facts = tls && decodeTlvs(tls.subarray(5));
  return {
    length,
    source: { host: address(bytes, 16, size), port: bytes.readUInt16BE(ports) },
    destination: { host: address(bytes, 16 + size, size), port: bytes.readUInt16BE(ports + 2) },
    authority: tlvs.get(0x02)?.toString(),
    tls: tls && {
      flags: tls[0]!,
      verify: tls.readUInt32BE(1),
      version: String(facts?.get(0x21)),
      cipher: String(facts?.get(0x23)),
    },
  };
}

function decodeTlvs(bytes: Buffer): Map<number, Buffer> {
  const tlvs = new Map<number, Buffer>();
  let at = 0;
  while (at < bytes.length) {
    const end = at + 3 + bytes.readUInt16BE(at + 1);
    assert.ok(end <= bytes.length, "a TLV reaches beyond the header");
    tlvs.set(bytes[at]!, bytes.subarray(at + 3, end));
    at = end;
  }
  return tlvs;
}

function address(bytes: Buffer, at: number, size: number): string {
  if (size === 4) return bytes.subarray(at, at + 4).join(".");
  const groups = bytes.toString("hex", at, at + 16).match(/.{4}/g)!.join(":");
  return new SocketAddress({ address: groups, family: "ipv6" }).address;
}
