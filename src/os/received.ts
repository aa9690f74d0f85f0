/** What a TCP connection has received, and how to close one that has received more. */
import { IPPROTO_TCP, MSG_DONTWAIT, SHUT_WR, TCP_INFO } from "./constants.ts";
import type { Libc } from "./libc.ts";
import { cInt } from "./structures.ts";

/** Offsets in `struct tcp_info` (tcp(7), linux/tcp.h). */
const STATE = 0;
const BYTES_RECEIVED = 128;
const TCP_INFO_SIZE = BYTES_RECEIVED + 8;
/** The peer has sent FIN, which counts as a byte. */
const TCP_CLOSE_WAIT = 8;

/** Returns how many bytes the peer has sent so far; undefined for what is not a TCP connection. */
export function bytesReceived(libc: Libc, fd: number): number | undefined {
  const info = new Uint8Array(TCP_INFO_SIZE);
  const length = cInt(info.length);
  if (libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, length) !== 0) return undefined;
  const count = Number(new BigUint64Array(info.buffer, BYTES_RECEIVED)[0]);
  return count - (info[STATE] === TCP_CLOSE_WAIT ? 1 : 0);
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
