/**
 * Numbers and layouts of the operating system's socket interface. Everything that differs from
 * one system to the next is in this file; today that is Linux (x64 and arm64 agree).
 */
import { endianness } from "node:os";
import type { IpEndpoint, Libc, SocketOption } from "./runtime/types.ts";
import { ipBytes, ipText } from "./ip.ts";

/** The address family constants, as in a `sockaddr` and in stud's write-ip prefix. */
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_KEEPALIVE = 9;
export const SO_LINGER = 13;
export const SO_REUSEPORT = 15;
export const IPPROTO_IP = 0;
/** The port is chosen at connect, so that two connections to different peers may share one. */
export const IP_BIND_ADDRESS_NO_PORT = 24;
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_KEEPIDLE = 4;
export const TCP_QUICKACK = 12;
export const IPPROTO_IPV6 = 41;
export const IPV6_V6ONLY = 26;
export const SHUT_RDWR = 2;
export const PR_SET_NO_NEW_PRIVS = 38;

export const EINPROGRESS = 115;

const littleEndian = endianness() === "LE";

/** A C int in the machine's byte order. */
export function cInt(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, littleEndian);
  return bytes;
}

/** `struct sockaddr_in` (16 bytes) or `sockaddr_in6` (28 bytes). */
export function sockaddr(endpoint: IpEndpoint): Uint8Array {
  const bytes = new Uint8Array(endpoint.family === 4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, endpoint.family === 4 ? AF_INET : AF_INET6, littleEndian);
  view.setUint16(2, endpoint.port);
  bytes.set(ipBytes(endpoint.address), endpoint.family === 4 ? 4 : 8);
  return bytes;
}

/** Room for any address that {@link readSockaddr} understands. */
export const SOCKADDR_SIZE = 28;

/** The endpoint in a sockaddr, or undefined for an empty one or one that is not IPv4 or IPv6. */
export function readSockaddr(bytes: Uint8Array): IpEndpoint | undefined {
  if (bytes.length === 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const family = view.getUint16(0, littleEndian);
  if (family === AF_INET) {
    return { family: 4, address: ipText(bytes.subarray(4, 8)), port: view.getUint16(2) };
  }
  if (family === AF_INET6) {
    return { family: 6, address: ipText(bytes.subarray(8, 24)), port: view.getUint16(2) };
  }
  return undefined;
}

/**
 * What accepted sockets inherit from their listening socket, so that no call is spent on each:
 * `keepalive` is the seconds of silence before TCP probes a client.
 */
export function listenerOptions(keepalive: number): SocketOption[] {
  return [
    { name: "SO_KEEPALIVE", level: SOL_SOCKET, option: SO_KEEPALIVE, value: 1 },
    { name: "TCP_KEEPIDLE", level: IPPROTO_TCP, option: TCP_KEEPIDLE, value: keepalive },
    { name: "TCP_NODELAY", level: IPPROTO_TCP, option: TCP_NODELAY, value: 1 },
  ];
}

/** Sets an int option; the result is true when the kernel took it. */
export function setOption(libc: Libc, fd: number, option: Omit<SocketOption, "name">): boolean {
  return libc.setsockopt(fd, option.level, option.option, cInt(option.value), 4) === 0;
}
