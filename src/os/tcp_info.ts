/** What the kernel knows about a TCP socket (`struct tcp_info` in linux/tcp.h, Linux 4.6 and later). */
import { IPPROTO_TCP, TCP_INFO } from "./constants.ts";
import type { Libc } from "./libc.ts";
import { cInt } from "./structures.ts";

/** The connection's state is the first byte: after a reset, and after the peer's FIN. */
const STATE = 0;
const TCP_CLOSE = 7;
const TCP_CLOSE_WAIT = 8;
/** Segments in flight; of a listening socket the length of its queue (tcp(7)). */
const UNACKED = 24;
/** Milliseconds since data was sent. */
const LAST_DATA_SENT = 44;
/** A FIN counts as a byte. */
const BYTES_RECEIVED = 128;
/** Bytes that were written and not yet sent. */
const NOT_SENT = 144;
const DATA_SEGMENTS_IN = 152;
const SIZE = DATA_SEGMENTS_IN + 4;

const info = new Uint8Array(SIZE);
const view = new DataView(info.buffer);

/** Returns the number of connections in a listening TCP socket's queue; 0 for other sockets. */
export function queueLength(libc: Libc, fd: number): number {
  return read(libc, fd) ? view.getInt32(UNACKED, true) : 0;
}

/**
 * Whether the peer has acknowledged every byte that was written, and none was sent in the last
 * `quietMs` milliseconds; true without a TCP connection. After a reset it is true too: the kernel
 * still counts what it will never send.
 */
export function isAcknowledged(libc: Libc, fd: number, quietMs = 0): boolean {
  if (!read(libc, fd) || info[0] === TCP_CLOSE) return true;
  return view.getInt32(UNACKED, true) + view.getInt32(NOT_SENT, true) === 0 &&
    view.getUint32(LAST_DATA_SENT, true) >= quietMs;
}

/** What a peer has sent so far, read or not. */
export interface Received {
  readonly bytes: number;
  readonly segments: number;
}

/** Returns undefined for what is not a TCP connection. */
export function received(libc: Libc, fd: number): Received | undefined {
  if (!read(libc, fd)) return undefined;
  const bytes = Number(view.getBigUint64(BYTES_RECEIVED, true));
  return {
    bytes: bytes - (info[STATE] === TCP_CLOSE_WAIT ? 1 : 0),
    segments: view.getInt32(DATA_SEGMENTS_IN, true),
  };
}

/** Whether the peer has sent anything, read or not; true without a TCP connection. */
export function hasReceived(libc: Libc, fd: number): boolean {
  return received(libc, fd)?.bytes !== 0;
}

/** Whether the peer has reset the connection, though the error was already reported to a write. */
export function wasReset(libc: Libc, fd: number): boolean {
  return read(libc, fd) && info[STATE] === TCP_CLOSE;
}

function read(libc: Libc, fd: number): boolean {
  return libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, cInt(SIZE)) === 0;
}
