/**
 * Numbers and layouts of the operating system's socket interface. Everything that differs from
 * one system to the next is in this file; today that is Linux (x64 and arm64 agree but where something is said of it).
 */
import { endianness } from "node:os";
import type { Libc } from "./os/libc.ts";
import type { SocketOption } from "./os/socket_options.ts";
import type { Endpoint } from "./os/endpoint.ts";
import type { IpEndpoint } from "./os/endpoint.ts";
import { ipBytes, ipText } from "./os/ip.ts";

/** The address family constants, as in a `sockaddr` and in stud's write-ip prefix. */
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_LINGER = 13;
export const SO_REUSEPORT = 15;
/** The limit of a connect that blocks, too. */
export const SO_SNDTIMEO = 21;
export const SO_ACCEPTCONN = 30;
export const SO_ATTACH_REUSEPORT_CBPF = 51;
/** Takes the number of an interface. */
export const SO_BINDTOIFINDEX = 62;
export const SO_DETACH_REUSEPORT_BPF = 68;
export const IPPROTO_IP = 0;
/** The port is chosen at connect, so that two connections to different peers may share one. */
export const IP_BIND_ADDRESS_NO_PORT = 24;
export const IP_MULTICAST_IF = 32;
export const IP_MULTICAST_TTL = 33;
export const IP_ADD_MEMBERSHIP = 35;
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_KEEPIDLE = 4;
export const TCP_INFO = 11;
export const TCP_QUICKACK = 12;
export const TCP_FASTOPEN = 23;
export const IPPROTO_IPV6 = 41;
export const IPV6_MULTICAST_IF = 17;
export const IPV6_MULTICAST_HOPS = 18;
export const IPV6_ADD_MEMBERSHIP = 20;
export const IPV6_V6ONLY = 26;
export const SHUT_RDWR = 2;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const PR_SET_DUMPABLE = 4;
export const PR_SET_NO_NEW_PRIVS = 38;
export const O_RDONLY = 0;
export const O_CLOEXEC = 0o2000000;
export const MFD_CLOEXEC = 1;
export const EPOLL_CTL_MOD = 3;
const CLOCK_MONOTONIC = 1;
/** An ioctl: the descriptor is closed in programs that this process starts. */
export const FIOCLEX = 0x5451;
/** Locks that belong to an open file, not to a process; they conflict with those of F_SETLK. */
export const F_OFD_SETLK = 37;

export const EAGAIN = 11;
export const EINVAL = 22;
export const EMSGSIZE = 90;
/** The socket at that address is of another type. */
export const EPROTOTYPE = 91;
export const EINPROGRESS = 115;

/** The executable that runs, for its children to run as well, whatever lies at its path by now. */
export const runningFile = "/proc/self/exe";

const littleEndian = endianness() === "LE";

/** A C int in the machine's byte order. */
export function cInt(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, littleEndian);
  return bytes;
}

/** The C int that {@link cInt} made room for, as a call has left it. */
export function readCInt(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, littleEndian);
}

/**
 * Microseconds of CLOCK_MONOTONIC, which all processes share; the runtimes' own clocks begin with
 * the process.
 */
export function monotonicMicroseconds(libc: Libc): bigint {
  const time = new Uint8Array(16);
  libc.clock_gettime(CLOCK_MONOTONIC, time);
  const view = new DataView(time.buffer);
  const [seconds, nanoseconds] = [0, 8].map((at) => view.getBigInt64(at, littleEndian));
  return seconds! * 1_000_000n + nanoseconds! / 1000n;
}

/**
 * `struct ip_mreqn` (12 bytes) or `struct ipv6_mreq` (20 bytes): a group, and the number of an
 * interface, which 0 leaves to the system.
 */
export function membership({ family, address }: IpEndpoint, index: number): Uint8Array {
  const bytes = new Uint8Array(family === 4 ? 12 : 20);
  bytes.set(ipBytes(address));
  bytes.set(cInt(index), bytes.length - 4);
  return bytes;
}

/** `struct timeval` of whole seconds. */
export function seconds(count: number): Uint8Array {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setBigInt64(0, BigInt(count), littleEndian);
  return bytes;
}

/** `struct flock` for a write lock on a whole file (F_WRLCK from SEEK_SET 0, length 0, pid 0). */
export function wholeFileLock(): Uint8Array {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setInt16(0, 1, littleEndian);
  return bytes;
}

/** `struct epoll_event`, which is packed on x64 only. */
export function epollEvent(events: number, data: bigint): Uint8Array {
  const at = process.arch === "x64" ? 4 : 8;
  const bytes = new Uint8Array(at + 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, events, littleEndian);
  view.setBigUint64(at, data, littleEndian);
  return bytes;
}

/** One instruction of classic BPF, `struct sock_filter`. */
export interface Instruction {
  readonly code: number;
  /** A number of 32 bits, or a place in a packet. */
  readonly k?: number;
  /** How many instructions are passed over when a test is true, and when it is false. */
  readonly ifTrue?: number;
  readonly ifFalse?: number;
}

/** An array of `struct sock_filter`. */
export function sockFilters(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [i, { code, k = 0, ifTrue = 0, ifFalse = 0 }] of program.entries()) {
    view.setUint16(i * 8, code, littleEndian);
    bytes.set([ifTrue, ifFalse], i * 8 + 2);
    view.setUint32(i * 8 + 4, k, littleEndian);
  }
  return bytes;
}

/** `struct sock_fprog` for what {@link sockFilters} made, which lies at this address. */
export function sockFprog(filters: Uint8Array, address: bigint): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, filters.length / 8, littleEndian);
  view.setBigUint64(8, address, littleEndian);
  return bytes;
}

/** `struct sockaddr_in` (16 bytes), `sockaddr_in6` (28 bytes) or `sockaddr_un` (its path's length). */
export function sockaddr(endpoint: Endpoint): Uint8Array {
  if (endpoint.family === "unix") return unixSockaddr(endpoint.path);
  const bytes = new Uint8Array(endpoint.family === 4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, endpoint.family === 4 ? AF_INET : AF_INET6, littleEndian);
  view.setUint16(2, endpoint.port);
  bytes.set(ipBytes(endpoint.address), endpoint.family === 4 ? 4 : 8);
  return bytes;
}

/** Bytes of a path in `sockaddr_un`, the final 0 included. */
export const MAX_UNIX_PATH = 108;

/** Room for any address that {@link readSockaddr} understands. */
export const SOCKADDR_SIZE = 2 + MAX_UNIX_PATH;

/** The endpoint in a sockaddr, or undefined for an empty one or one of another family. */
export function readSockaddr(bytes: Uint8Array): Endpoint | undefined {
  if (bytes.length < 2) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  switch (view.getUint16(0, littleEndian)) {
    case AF_INET:
      return { family: 4, address: ipText(bytes.subarray(4, 8)), port: view.getUint16(2) };
    case AF_INET6:
      return { family: 6, address: ipText(bytes.subarray(8, 24)), port: view.getUint16(2) };
    case AF_UNIX:
      return { family: "unix", path: unixPath(bytes.subarray(2)) };
    default:
      return undefined;
  }
}

/** The number of an endpoint's address family. */
export function familyOf({ family }: Endpoint): number {
  if (family === "unix") return AF_UNIX;
  return family === 4 ? AF_INET : AF_INET6;
}

/** A text as the C library takes it: bytes that end in 0. */
export function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** An abstract name begins with a 0 byte and has none at its end. */
function unixSockaddr(path: string): Uint8Array {
  const name = path.startsWith("@") ? cString(`\0${path.slice(1)}`).slice(0, -1) : cString(path);
  if (name.length > MAX_UNIX_PATH) {
    throw new RangeError(`the path of a socket is too long: ${path}`);
  }
  const bytes = new Uint8Array(2 + name.length);
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, littleEndian);
  bytes.set(name, 2);
  return bytes;
}

function unixPath(name: Uint8Array): string {
  const text = new TextDecoder().decode(name);
  if (text.startsWith("\0")) return `@${text.slice(1)}`;
  return text.split("\0", 1)[0]!;
}

/** What is set on a listening socket. */
export interface ListenerSettings {
  /** Seconds of silence before TCP probes a client. */
  readonly keepalive: number;
  readonly tcpFastopen: boolean;
  /** Bytes; 0 leaves the system's. */
  readonly recvBufsize: number;
  readonly sendBufsize: number;
  readonly backlog: number;
}

/** What accepted sockets inherit from their listening socket, so that no call is spent on each. */
export function listenerOptions(settings: ListenerSettings): SocketOption[] {
  const { keepalive, tcpFastopen, recvBufsize, sendBufsize, backlog } = settings;
  const options: SocketOption[] = [
    { name: "SO_KEEPALIVE", level: SOL_SOCKET, option: SO_KEEPALIVE, value: 1 },
    { name: "TCP_KEEPIDLE", level: IPPROTO_TCP, option: TCP_KEEPIDLE, value: keepalive },
    { name: "TCP_NODELAY", level: IPPROTO_TCP, option: TCP_NODELAY, value: 1 },
  ];
  if (tcpFastopen) {
    // The value is the length of the queue of connections that have not finished TCP's handshake.
    options.push({
      name: "TCP_FASTOPEN",
      level: IPPROTO_TCP,
      option: TCP_FASTOPEN,
      value: backlog,
    });
  }
  if (recvBufsize > 0) {
    options.push({ name: "SO_RCVBUF", level: SOL_SOCKET, option: SO_RCVBUF, value: recvBufsize });
  }
  if (sendBufsize > 0) {
    options.push({ name: "SO_SNDBUF", level: SOL_SOCKET, option: SO_SNDBUF, value: sendBufsize });
  }
  return options;
}

/** Sets an int option; the result is true when the kernel took it. */
export function setOption(libc: Libc, fd: number, option: Omit<SocketOption, "name">): boolean {
  return libc.setsockopt(fd, option.level, option.option, cInt(option.value), 4) === 0;
}
