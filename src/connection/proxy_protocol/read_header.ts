/** Reads headers of the PROXY protocol, versions 1 and 2, from clients. */
import { ipBytes, ipFamily, ipText } from "../../os/ip.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import { crc32c } from "./crc32c.ts";
import {
  MAX_HEADER_SIZE,
  PP2_FIXED_SIZE,
  PP2_LOCAL,
  PP2_PROXY,
  PP2_SIGNATURE,
  PP2_TCP_OVER_IPV4,
  PP2_TCP_OVER_IPV6,
  PP2_TYPE_CRC32C,
  PP2_UNIX_STREAM,
  PP2_UNSPEC,
  PP2_VERSION,
  TLV_HEAD_SIZE,
} from "./constants.ts";

/** A whole header. */
export interface ProxyHeader {
  /** In bytes. */
  readonly length: number;
  /** Absent if the real ones are used, and in mode `pass`. */
  readonly addresses?: ProxyAddresses;
}

export interface ProxyAddresses {
  readonly client: Endpoint;
  /** The address that the client connected to. */
  readonly frontend: Endpoint;
}

/** Why bytes are not a header, in words that follow "the PROXY header". */
export interface HeaderFault {
  readonly fault: string;
}

/**
 * Parses what a client has sent so far. Returns the header, its fault, or `more` if it is
 * incomplete; more bytes never change a header or a fault.
 *
 * Mode `use` accepts only what sections 2.1 and 2.2 of the specification allow, for TCP and Unix
 * streams, with TLVs that fill the header exactly and, if present, a correct CRC-32C. With LOCAL,
 * UNKNOWN and UNSPEC the real addresses are used, and the rest of the header is ignored.
 *
 * Mode `pass` only finds the header's end; its meaning is left to the backend. A version 1 line
 * starts with `PROXY `, is printable ASCII and ends in CRLF. In version 2 the version must be right,
 * since it defines the length field; commands, families and TLVs may be unknown.
 */
export function readProxyHeader(
  bytes: Uint8Array,
  mode: "pass" | "use",
): ProxyHeader | HeaderFault | "more" {
  if (startsWith(bytes, PP2_SIGNATURE)) return readVersion2(bytes, mode);
  if (startsWith(bytes, V1_START)) return readVersion1(bytes, mode);
  return { fault: "is missing" };
}

/** Returns the addresses in a header that was parsed in mode `pass`, if it is valid and has any. */
export function addressesIn(header: Uint8Array): ProxyAddresses | undefined {
  const result = readProxyHeader(header, "use");
  return typeof result === "object" && "length" in result ? result.addresses : undefined;
}

const V1_START = new TextEncoder().encode("PROXY ");
/** Maximum length of a line with its CRLF (section 2.1). */
const MAX_V1_LINE = 107;
const LF = 0x0a;
const CRC32C_SIZE = 4;

/** By family and protocol: the size of one address, and of both with their ports, in bytes. */
const layouts: ReadonlyMap<number, { readonly address: number; readonly block: number }> = new Map([
  [PP2_TCP_OVER_IPV4, { address: 4, block: 12 }],
  [PP2_TCP_OVER_IPV6, { address: 16, block: 36 }],
  [PP2_UNIX_STREAM, { address: 108, block: 216 }],
]);

/** Compares as many bytes as both have. */
function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return start.every((byte, i) => i >= bytes.length || bytes[i] === byte);
}

function readVersion1(
  bytes: Uint8Array,
  mode: "pass" | "use",
): ProxyHeader | HeaderFault | "more" {
  const length = bytes.subarray(0, MAX_V1_LINE).indexOf(LF) + 1;
  if (length === 0) {
    return bytes.length < MAX_V1_LINE
      ? "more"
      : { fault: `is a line of more than ${MAX_V1_LINE} bytes` };
  }
  const line = String.fromCharCode(...bytes.subarray(0, length));
  if (!/^[\x20-\x7e]*\r\n$/.test(line)) return { fault: "is not an ASCII line that ends in CRLF" };
  if (mode === "pass" || /^PROXY UNKNOWN[ \r]/.test(line)) return { length };
  const parts = /^PROXY TCP([46]) (\S+) (\S+) (\d+) (\d+)\r\n$/.exec(line);
  if (!parts) return { fault: "is not in the form of version 1" };
  const [, family, source, destination, sourcePort, destinationPort] = parts;
  const client = textEndpoint(Number(family), source!, sourcePort!);
  const frontend = textEndpoint(Number(family), destination!, destinationPort!);
  if (!client || !frontend) {
    return { fault: `has an address or port that is invalid for TCP${family}` };
  }
  return { length, addresses: { client, frontend } };
}

/** Section 2.1 forbids leading zeros, which some parsers read as octal. */
function textEndpoint(family: number, address: string, port: string): Endpoint | undefined {
  if (ipFamily(address) !== family) return undefined;
  if (!/^(0|[1-9]\d{0,4})$/.test(port) || Number(port) > 65535) return undefined;
  return ipEndpoint(ipBytes(address), Number(port));
}

function readVersion2(
  bytes: Uint8Array,
  mode: "pass" | "use",
): ProxyHeader | HeaderFault | "more" {
  if (bytes.length < PP2_FIXED_SIZE) return "more";
  const [versionAndCommand, family] = bytes.subarray(PP2_SIGNATURE.length);
  const command = versionAndCommand! & 0x0f;
  if ((versionAndCommand! & 0xf0) !== PP2_VERSION) return { fault: "is not version 2" };
  const length = PP2_FIXED_SIZE + uint16(bytes, PP2_FIXED_SIZE - 2);
  if (length > MAX_HEADER_SIZE) {
    return { fault: `has ${length} bytes; the limit is ${MAX_HEADER_SIZE}` };
  }
  if (mode === "use" && command !== PP2_LOCAL && command !== PP2_PROXY) {
    return { fault: `has the unknown command ${command}` };
  }
  if (bytes.length < length) return "more";
  if (mode === "pass" || command === PP2_LOCAL || family === PP2_UNSPEC) return { length };
  const layout = layouts.get(family!);
  if (!layout) return { fault: `is not for a TCP connection (family and protocol ${family})` };
  const content = PP2_FIXED_SIZE + layout.block;
  if (length < content) return { fault: "is too short for its addresses" };
  const header = bytes.subarray(0, length);
  const fault = tlvFault(header, content);
  return fault ? { fault } : { length, addresses: readAddresses(header, layout.address) };
}

function readAddresses(header: Uint8Array, size: number): ProxyAddresses {
  const destination = PP2_FIXED_SIZE + size;
  const ports = destination + size;
  const source = header.subarray(PP2_FIXED_SIZE, destination);
  const reached = header.subarray(destination, ports);
  if (size > 16) return { client: unixEndpoint(source), frontend: unixEndpoint(reached) };
  return {
    client: ipEndpoint(source, uint16(header, ports)),
    frontend: ipEndpoint(reached, uint16(header, ports + 2)),
  };
}

/** Returns the first fault in the TLVs from `at` to the header's end. */
function tlvFault(header: Uint8Array, at: number): string | undefined {
  while (at < header.length) {
    const value = at + TLV_HEAD_SIZE;
    const end = value <= header.length ? value + uint16(header, at + 1) : Infinity;
    if (end > header.length) return "has a TLV that extends beyond its end";
    if (header[at] === PP2_TYPE_CRC32C && !isChecksum(header, value, end)) {
      return "has a wrong CRC-32C";
    }
    at = end;
  }
  return undefined;
}

/** The checksum covers the whole header, with zeros in its own place (section 2.2.4). */
function isChecksum(header: Uint8Array, start: number, end: number): boolean {
  if (end - start !== CRC32C_SIZE) return false;
  const expected = uint16(header, start) * 0x10000 + uint16(header, start + 2);
  // Not `slice`, which does not copy a Buffer.
  return crc32c(new Uint8Array(header).fill(0, start, end)) === expected;
}

function ipEndpoint(bytes: Uint8Array, port: number): Endpoint {
  return { family: bytes.length === 4 ? 4 : 6, address: ipText(bytes), port };
}

/** The path ends at the first 0; an abstract name begins with one, so it yields an empty path. */
function unixEndpoint(bytes: Uint8Array): Endpoint {
  const end = bytes.indexOf(0);
  return {
    family: "unix",
    path: new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end)),
  };
}

function uint16(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}
