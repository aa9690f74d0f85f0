/**
 * Deno hides the descriptors of its sockets. Here they are found again, and used for what Deno has
 * no way to do.
 */
import { ipBytes, ipText } from "../../ip.ts";
import { cInt, readSockaddr, SOCKADDR_SIZE } from "../../platform.ts";
import type { IpEndpoint, Libc } from "../types.ts";
import { dlopen, libc } from "./api.ts";

/** A connected socket whose descriptor may be asked for. */
export interface Hidden {
  readonly remote: IpEndpoint;
  readonly local: IpEndpoint;
  /** Where {@link descriptors} found it, or -1. */
  fd: number;
}

/**
 * Finds the descriptors which Deno hides, by asking the kernel for the two ends of every small
 * number. Each search remembers all streams it meets, so that many resets do not cost many times
 * all descriptors.
 */
export const descriptors = {
  byPorts: new Map<number, Hidden>(),
  byFd: [] as (Hidden | undefined)[],
  highestListener: 0,
  streams: 0,
  mostStreams: 0,

  add(stream: Hidden): void {
    this.byPorts.set(portKey(stream.local.port, stream.remote.port), stream);
    this.mostStreams = Math.max(this.mostStreams, ++this.streams);
  },

  remove(stream: Hidden): void {
    const key = portKey(stream.local.port, stream.remote.port);
    // Clients of different addresses can have the same port.
    if (this.byPorts.get(key) === stream) this.byPorts.delete(key);
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
    const end = this.highestListener + this.mostStreams + DESCRIPTOR_MARGIN;
    // Most connections come after the listener.
    const first = this.highestListener + 1;
    for (let i = 0; i < end && wanted.fd === -1; i++) {
      const fd = (first + i) % end;
      if (this.byFd[fd]) continue;
      const socket = socketAt(fd);
      if (!socket?.peer) continue;
      const known = this.byPorts.get(portKey(socket.own.port, socket.peer.port));
      const stream = isSocketOf(wanted, socket) ? wanted : known;
      if (!stream || !isSocketOf(stream, socket)) continue;
      stream.fd = fd;
      this.byFd[fd] = stream;
    }
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
  // would go first, and the peer could take the cut for an orderly end.
  libc.connect(fd, unspecified, unspecified.length);
}

const { send: sendCall } = dlopen({ send: ["i32", "buffer", "u64", "i32"] }, "i32");
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** How many bytes the kernel took at once; -1 after an error, mostly for want of room. */
export function send(fd: number, bytes: Uint8Array): number {
  return sendCall!(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL) as number;
}

/** A `sockaddr` of the family AF_UNSPEC, which is 0. */
const unspecified = new Uint8Array(16);
const addressBuffer = new Uint8Array(SOCKADDR_SIZE);

interface Socket {
  readonly own: IpEndpoint;
  /** Absent while it is not connected. */
  readonly peer: IpEndpoint | undefined;
}

/** The IP socket behind a descriptor. */
function socketAt(fd: number): Socket | undefined {
  const own = nameBy(libc.getsockname, fd);
  return own && { own, peer: nameBy(libc.getpeername, fd) };
}

function nameBy(call: Libc["getsockname"], fd: number): IpEndpoint | undefined {
  if (call(fd, addressBuffer, cInt(SOCKADDR_SIZE)) !== 0) return undefined;
  return readSockaddr(addressBuffer);
}

function isSocketOf(stream: Hidden, socket: Socket | undefined): boolean {
  return socket?.peer !== undefined && sameEndpoint(socket.peer, stream.remote) &&
    sameEndpoint(socket.own, stream.local);
}

function sameEndpoint(canonical: IpEndpoint, other: IpEndpoint): boolean {
  return canonical.port === other.port && canonical.family === other.family &&
    canonical.address === ipText(ipBytes(other.address));
}

/** One number for two ports. */
function portKey(local: number, remote: number): number {
  return local * 65_536 + remote;
}
