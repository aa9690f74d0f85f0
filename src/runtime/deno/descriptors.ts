/**
 * Deno hides the descriptors of its sockets. Here they are found again, and used for what Deno has
 * no way to do.
 */
import { ipBytes, ipText } from "../../os/ip.ts";
import { readSockaddr } from "../../os/sockaddr.ts";
import { SOCKADDR_SIZE } from "../../os/sockaddr.ts";
import { SHUT_RDWR } from "../../os/constants.ts";
import type { Libc } from "../../os/libc.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import type { IpEndpoint } from "../../os/endpoint.ts";
import { libc } from "./api.ts";

/** A connected socket whose descriptor may be asked for. */
export interface Hidden {
  readonly remote: Endpoint;
  readonly local: Endpoint;
  /** Where {@link descriptors} found it, or -1. */
  fd: number;
}

/**
 * Finds the descriptors which Deno hides, by asking the kernel for the two ends of every small
 * number. Each search remembers all streams it meets, so that many resets do not cost many times
 * all descriptors. Unix sockets have no two ends to tell them by; theirs is known from the start.
 */
export const descriptors = {
  byPorts: new Map<number, Hidden>(),
  byFd: [] as (Hidden | undefined)[],
  highestListener: 0,
  streams: 0,
  maxStreams: 0,

  /** `fd` where it is known. */
  add(stream: Hidden, fd: number | undefined): void {
    const key = keyOf(stream.local, stream.remote);
    if (key !== undefined) this.byPorts.set(key, stream);
    if (fd !== undefined) this.assign(stream, fd);
    this.maxStreams = Math.max(this.maxStreams, ++this.streams);
  },

  remove(stream: Hidden): void {
    const key = keyOf(stream.local, stream.remote);
    // Clients of different addresses can have the same port.
    if (key !== undefined && this.byPorts.get(key) === stream) this.byPorts.delete(key);
    if (stream.fd !== -1) this.byFd[stream.fd] = undefined;
    this.streams--;
  },

  /** What `act` returns for the stream's descriptor; undefined without a connected one. */
  with<T>(stream: Hidden, act: (fd: number) => T): T | undefined {
    if (stream.fd === -1) this.search(stream);
    // Deno may have closed the descriptor by itself, and the number may be another's by now.
    if (stream.fd === -1 || !isSocketOf(stream, socketAt(stream.fd))) return undefined;
    return act(stream.fd);
  },

  /** Whether `fd` of an open stream is known now. */
  find(stream: Hidden): boolean {
    if (stream.fd === -1) this.search(stream);
    return stream.fd !== -1;
  },

  search(wanted: Hidden): void {
    // The kernel gives the lowest free number, so none can be much higher.
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

  assign(stream: Hidden, fd: number): void {
    stream.fd = fd;
    this.byFd[fd] = stream;
  },

  /** Throws when there is none, which would be a mistake of ours. */
  ofListener(on: IpEndpoint): number {
    for (let fd = 0; fd < HIGHEST_LISTENER; fd++) {
      const socket = socketAt(fd);
      if (!socket || socket.peer || !sameEndpoint(socket.own, on)) continue;
      this.highestListener = Math.max(this.highestListener, fd);
      return fd;
    }
    throw new Error(`no descriptor listens on ${on.address} port ${on.port}`);
  },

  /** The number that the kernel gives to the next descriptor, or -1 when none is left. */
  lowestFree(): number {
    const fd = libc.dup(0);
    if (fd !== -1) libc.close(fd);
    return fd;
  },

  /** Whether there is a connected Unix socket behind the number. */
  isUnixSocket(fd: number): boolean {
    return socketAt(fd)?.peer?.family === "unix";
  },
};

/** Transient descriptors, and sockets whose streams have closed but which Deno still holds. */
const DESCRIPTOR_MARGIN = 256;
const HIGHEST_LISTENER = 4096;

/**
 * Sends RST and drops what is unsent. Deno's `close` sends FIN, and keeps the descriptor of an
 * unfinished handshake, and of bytes which the peer does not read, until the peer goes.
 */
export function cut(fd: number): void {
  // To connect to AF_UNSPEC is Linux' way to disconnect TCP. With SO_LINGER and shutdown FIN
  // would go first, and the peer could take the cut for an orderly end. Unix sockets know no RST.
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

/** The socket behind a descriptor. */
function socketAt(fd: number): Socket | undefined {
  const own = nameBy(libc.getsockname, fd);
  return own && { own, peer: nameBy(libc.getpeername, fd) };
}

function nameBy(call: Libc["getsockname"], fd: number): Endpoint | undefined {
  nameLength[0] = SOCKADDR_SIZE;
  if (call(fd, addressBuffer, nameLengthBytes) !== 0) return undefined;
  // A Unix socket's name ends where the kernel says; what follows is from an earlier call.
  return readSockaddr(addressBuffer.subarray(0, Math.min(nameLength[0], SOCKADDR_SIZE)));
}

function isSocketOf(stream: Hidden, socket: Socket | undefined): boolean {
  if (!socket?.peer) return false;
  // The server's own name for its socket may be another path than the one that led there.
  if (stream.remote.family === "unix") return socket.peer.family === "unix";
  return sameEndpoint(socket.peer, stream.remote) && sameEndpoint(socket.own, stream.local);
}

function sameEndpoint(canonical: Endpoint, other: Endpoint): boolean {
  if (canonical.family === "unix" || other.family === "unix") return false;
  return canonical.port === other.port && canonical.family === other.family &&
    canonical.address === ipText(ipBytes(other.address));
}

/** One number for two ports. */
function keyOf(local: Endpoint, remote: Endpoint): number | undefined {
  if (local.family === "unix" || remote.family === "unix") return undefined;
  return local.port * 65_536 + remote.port;
}
