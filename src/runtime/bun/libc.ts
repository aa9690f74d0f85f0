import { readSockaddr } from "../../os/sockaddr.ts";
import { SOCKADDR_SIZE } from "../../os/sockaddr.ts";
import { sockaddr } from "../../os/sockaddr.ts";
import { signatures } from "../../os/libc.ts";
import { libcName } from "../../os/libc.ts";
import type { Libc } from "../../os/libc.ts";
import type { Endpoint } from "../../os/endpoint.ts";

/** The C library through bun:ffi. */
export const libc: Libc = openLibc();

/**
 * Returns a `sockaddr` with one call, where Bun's properties for address and port make one each. Empty
 * for a client that reset its connection before it was accepted.
 */
export function socketName(call: Libc["getpeername"], fd: number): Uint8Array {
  nameLength[0] = SOCKADDR_SIZE;
  const length = call(fd, nameBuffer, nameLengthBytes) === 0 ? nameLength[0] : 0;
  return nameBuffer.slice(0, length);
}

/** Returns the endpoint in such a `sockaddr`; 0.0.0.0 port 0 if it is unknown. */
export function endpointIn(address: Uint8Array | undefined): Endpoint {
  return address && readSockaddr(address) || UNKNOWN;
}

/** Returns a `sockaddr`, made once for each of the few endpoints that all connections share. */
export function sockaddrOf(endpoint: Endpoint): Uint8Array {
  const known = sockaddrs.get(endpoint);
  if (known) return known;
  const made = sockaddr(endpoint);
  sockaddrs.set(endpoint, made);
  return made;
}

const nameBuffer = new Uint8Array(SOCKADDR_SIZE);
const nameLength = new Int32Array(1);
const nameLengthBytes = new Uint8Array(nameLength.buffer);
const sockaddrs = new WeakMap<Endpoint, Uint8Array>();
const UNKNOWN: Endpoint = { family: 4, address: "0.0.0.0", port: 0 };

function openLibc(): Libc {
  const table: Record<string, { args: readonly string[]; returns: string }> = {
    __errno_location: { args: [], returns: "ptr" },
  };
  for (const [call, args] of Object.entries(signatures)) table[call] = { args, returns: "i32" };
  const { dlopen, ptr, read } = process.getBuiltinModule("bun:ffi") as unknown as BunFfi;
  const { symbols } = dlopen(libcName, table);
  return {
    ...symbols as unknown as Omit<Libc, "errno">,
    errno: () => read.i32(symbols.__errno_location!(), 0),
    addressOf: (bytes) => BigInt(ptr(bytes)),
  };
}

interface BunFfi {
  dlopen(
    library: string,
    table: Record<string, unknown>,
  ): { symbols: Record<string, (...args: unknown[]) => number> };
  ptr(bytes: Uint8Array): number;
  read: { i32(pointer: number, offset: number): number };
}
