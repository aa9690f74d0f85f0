/** C values and structures as bytes, in the machine's byte order. */
import { endianness } from "node:os";
import process from "node:process";
import type { IpEndpoint } from "./endpoint.ts";
import { ipBytes } from "./ip.ts";

const littleEndian = endianness() === "LE";

/** Returns a C int in the machine's byte order. */
export function cInt(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, littleEndian);
  return bytes;
}

/** Reads a C int that a call wrote to a buffer from {@link cInt}. */
export function readCInt(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, littleEndian);
}

/** Returns a C string: UTF-8 bytes that end in 0. */
export function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/**
 * Returns a `struct ip_mreqn` (12 bytes) or `struct ipv6_mreq` (20 bytes): a group, and the index of
 * an interface, which 0 leaves to the system.
 */
export function membership({ family, address }: IpEndpoint, index: number): Uint8Array {
  const bytes = new Uint8Array(family === 4 ? 12 : 20);
  bytes.set(ipBytes(address));
  bytes.set(cInt(index), bytes.length - 4);
  return bytes;
}

/** Returns a `struct timeval` of whole seconds and microseconds. */
export function seconds(count: number, microseconds = 0): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigInt64(0, BigInt(count), littleEndian);
  view.setBigInt64(8, BigInt(microseconds), littleEndian);
  return bytes;
}

/** Returns a `struct flock` for a write lock on a whole file (F_WRLCK, SEEK_SET, 0, 0, pid 0). */
export function wholeFileLock(): Uint8Array {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setInt16(0, 1, littleEndian);
  return bytes;
}

/** Returns a `struct epoll_event`, which is packed on x64 only. */
export function epollEvent(events: number, data: bigint): Uint8Array {
  const at = process.arch === "x64" ? 4 : 8;
  const bytes = new Uint8Array(at + 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, events, littleEndian);
  view.setBigUint64(at, data, littleEndian);
  return bytes;
}

/** Returns a `struct pollfd`, by default one that asks for no events. */
export function pollEntry(fd: number, events = 0): Uint8Array {
  const bytes = new Uint8Array(8);
  bytes.set(cInt(fd));
  new DataView(bytes.buffer).setInt16(4, events, littleEndian);
  return bytes;
}

/** Returns the events that poll(2) wrote to such an entry. */
export function pollEvents(entry: Uint8Array): number {
  return new DataView(entry.buffer, entry.byteOffset).getInt16(6, littleEndian);
}
