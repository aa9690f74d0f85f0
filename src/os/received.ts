/** What a TCP connection has received, and how to close one that has received more. */
import { IPPROTO_TCP, MSG_DONTWAIT, SHUT_WR, TCP_INFO } from "./constants.ts";
import type { Libc } from "./libc.ts";
import { cInt, readCInt } from "./structures.ts";

/** Offsets in `struct tcp_info` (tcp(7), linux/tcp.h). */
const STATE = 0;
const BYTES_RECEIVED = 128;
const DATA_SEGMENTS_IN = 152;
const TCP_INFO_SIZE = DATA_SEGMENTS_IN + 4;
/** The peer has sent FIN, which counts as a byte. */
const TCP_CLOSE_WAIT = 8;

/** What a peer has sent so far. */
export interface Received {
  readonly bytes: number;
  readonly segments: number;
}

/** Returns undefined for what is not a TCP connection. */
export function received(libc: Libc, fd: number): Received | undefined {
  const info = new Uint8Array(TCP_INFO_SIZE);
  const size = cInt(info.length);
  if (libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, size) !== 0) return undefined;
  const bytes = Number(new BigUint64Array(info.buffer, BYTES_RECEIVED, 1)[0]);
  return {
    bytes: bytes - (info[STATE] === TCP_CLOSE_WAIT ? 1 : 0),
    segments: readCInt(info.subarray(DATA_SEGMENTS_IN)),
  };
}

/** Whether the peer has sent anything, read or not; true without a TCP connection. */
export function hasReceived(libc: Libc, fd: number): boolean {
  return received(libc, fd)?.bytes !== 0;
}

const unread = new Uint8Array(65_536);
/** Reads of what one peer has sent, at most 1 MiB. */
const MAX_READS = 16;

/**
 * Sends FIN and drops what has been received, so that a close right after it does not send RST, which
 * would keep the peer from reading a TLS alert. What the peer sends later still causes one.
 */
export function endInOrder(libc: Libc, fd: number): void {
  libc.shutdown(fd, SHUT_WR);
  for (let i = 0; i < MAX_READS; i++) {
    if (libc.recv(fd, unread, unread.length, MSG_DONTWAIT) <= 0) return;
  }
}
