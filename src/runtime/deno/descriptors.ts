/**
 * Deno hides the descriptors of its sockets. They are found here and used for what Deno's API lacks.
 */
import { ipBytes, ipText, splitZone } from "../../os/ip.ts";
import { readSockaddr } from "../../os/sockaddr.ts";
import { SOCKADDR_SIZE } from "../../os/sockaddr.ts";
import { SHUT_RDWR } from "../../os/constants.ts";
import type { Libc } from "../../os/libc.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import type { IpEndpoint } from "../../os/endpoint.ts";
import { libc } from "./api.ts";

/** A connected socket whose descriptor may be needed. */
export interface HiddenSocket {
  readonly remote: Endpoint;
  readonly local: Endpoint;
  /** The descriptor that {@link descriptors} found, or -1. */
  fd: number;
}

/**
 * Finds hidden descriptors by asking the kernel for both addresses of each small number. A search
 * records all streams that it finds, so that many resets do not each scan all descriptors. Unix
 * sockets have no addresses to identify them; their descriptors are known from the start.
 */
export const descriptors = {
  byPorts: new Map<number, HiddenSocket>(),
  byFd: [] as (HiddenSocket | undefined)[],
  highestListener: 0,
  streams: 0,
  maxStreams: 0,

  /** Adds a stream; `fd` if it is known. */
  add(stream: HiddenSocket, fd: number | undefined): void {
    const key = keyOf(stream.local, stream.remote);
    if (key !== undefined) this.byPorts.set(key, stream);
    if (fd !== undefined) this.assign(stream, fd);
    this.maxStreams = Math.max(this.maxStreams, ++this.streams);
  },

  remove(stream: HiddenSocket): void {
    const key = keyOf(stream.local, stream.remote);
    // Clients at different addresses can have the same port.
    if (key !== undefined && this.byPorts.get(key) === stream) this.byPorts.delete(key);
    if (stream.fd !== -1) this.byFd[stream.fd] = undefined;
    this.streams--;
  },

  /** Calls `act` with the stream's descriptor and returns its result; undefined if not connected. */
  with<T>(stream: HiddenSocket, act: (fd: number) => T): T | undefined {
    if (stream.fd === -1) this.search(stream);
    // Deno may have closed the descriptor, and the number may have been reused.
    if (stream.fd === -1 || !isSocketOf(stream, socketAt(stream.fd))) return undefined;
    return act(stream.fd);
  },

  /** Returns whether the `fd` of an open stream was found. */
  find(stream: HiddenSocket): boolean {
    if (stream.fd === -1) this.search(stream);
    return stream.fd !== -1;
  },

  search(wanted: HiddenSocket): void {
    // The kernel assigns the lowest free number, so none can be much higher.
    const end = this.highestListener + this.maxStreams + DESCRIPTOR_MARGIN;
    // Most connections come after the listener.
    const first = this.highestListener + 1;
    for (let i = 0; i < end && wanted.fd === -1; i++) {
      const fd = (first + i) % end;
      if (this.byFd[fd]) continue;
      const socket = socketAt(fd);
      const key = socket?.peer && keyOf(socket.own, socket.peer);
      if (key === undefined) continue;
      const stream = isSocketOf(wanted, socket) ? wanted : this.byPorts.get(key);
      if (stream && isSocketOf(stream, socket)) this.assign(stream, fd);
    }
  },

  assign(stream: HiddenSocket, fd: number): void {
    stream.fd = fd;
    this.byFd[fd] = stream;
  },

  /** Returns a listener's descriptor. Throws an Error if there is none, which would be our fault. */
  ofListener(on: IpEndpoint): number {
    for (let fd = 0; fd < HIGHEST_LISTENER; fd++) {
      const socket = socketAt(fd);
      if (!socket || socket.peer || !sameEndpoint(socket.own, on)) continue;
      this.highestListener = Math.max(this.highestListener, fd);
      return fd;
    }
    throw new Error(`no descriptor listens on ${on.address} port ${on.port}`);
  },

  /** Returns the number of the next descriptor, or -1 if none is left. */
  lowestFree(): number {
    const fd = libc.dup(0);
    if (fd !== -1) libc.close(fd);
    return fd;
  },

  /** Whether the number is that of a connected Unix socket. */
  isUnixSocket(fd: number): boolean {
    return socketAt(fd)?.peer?.family === "unix";
  },
};

/** For transient descriptors, and sockets that Deno still holds after their streams closed. */
const DESCRIPTOR_MARGIN = 256;
const HIGHEST_LISTENER = 4096;

/**
 * Sends RST and drops unsent bytes. Deno's `close` sends FIN, and keeps the descriptor of an
 * unfinished handshake, or with bytes that the peer does not read, until the peer closes.
 */
export function cut(fd: number): void {
  // Connecting to AF_UNSPEC is how Linux disconnects TCP. SO_LINGER with shutdown would send FIN
  // first, which the peer could take for an orderly end. Unix sockets have no RST.
  if (libc.connect(fd, unspecified, unspecified.length) !== 0) libc.shutdown(fd, SHUT_RDWR);
}

/** A `sockaddr` of the family AF_UNSPEC, which is 0. */
const unspecified = new Uint8Array(16);
const addressBuffer = new Uint8Array(SOCKADDR_SIZE);
/** A C int, in and out. */
const nameLength = new Int32Array(1);
const nameLengthBytes = new Uint8Array(nameLength.buffer);

interface Socket {
  readonly own: Endpoint;
  /** Absent while it is not connected. */
  readonly peer: Endpoint | undefined;
}

/** Returns the addresses of a descriptor's socket; undefined if it is not a socket. */
function socketAt(fd: number): Socket | undefined {
  const own = nameBy(libc.getsockname, fd);
  return own && { own, peer: nameBy(libc.getpeername, fd) };
}

function nameBy(call: Libc["getsockname"], fd: number): Endpoint | undefined {
  nameLength[0] = SOCKADDR_SIZE;
  if (call(fd, addressBuffer, nameLengthBytes) !== 0) return undefined;
  // The kernel returns the length of a Unix socket's name; bytes after it are from an earlier call.
  return readSockaddr(addressBuffer.subarray(0, Math.min(nameLength[0], SOCKADDR_SIZE)));
}

function isSocketOf(stream: HiddenSocket, socket: Socket | undefined): boolean {
  if (!socket?.peer) return false;
  // The server may have bound its socket by another path than the one that was connected.
  if (stream.remote.family === "unix") return socket.peer.family === "unix";
  return sameEndpoint(socket.peer, stream.remote) && sameEndpoint(socket.own, stream.local);
}

function sameEndpoint(canonical: Endpoint, other: Endpoint): boolean {
  if (canonical.family === "unix" || other.family === "unix") return false;
  return canonical.port === other.port && canonical.family === other.family &&
    canonical.address === ipText(ipBytes(splitZone(other.address).address));
}

/** Returns one number for both ports. */
function keyOf(local: Endpoint, remote: Endpoint): number | undefined {
  if (local.family === "unix" || remote.family === "unix") return undefined;
  return local.port * 65_536 + remote.port;
}
