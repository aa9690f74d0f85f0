/**
 * Bun passes neither what a client sent instead of TLS nor an alert that BoringSSL could not read. So
 * its receive buffer, which all sockets of its event loop share, is read after a failure. UNDOCUMENTED,
 * from uSockets in Bun 1.4.5; process_vm_readv fails where a plain access would crash, and then, or if
 * the kernel refuses it, the log says less. tests/unit/runtime.test.ts covers it.
 */
import { libc } from "./libc.ts";

/** Offsets of pointers: from a poll to its group, to the loop, to the buffer; the bytes are after a padding. */
const PATH = [32n, 0n, 64n];
const PADDING = 32n;
/** The upper bits of the pointer that epoll has are flags. */
const ADDRESS = 0xffff_ffff_ffffn;

let buffer: bigint | undefined;

/** Finds the buffer by a poll of the loop, as epoll shows it. */
export function locateBuffer(poll: bigint): void {
  let at: bigint | undefined = poll & ADDRESS;
  for (const offset of PATH) at = at === undefined ? undefined : pointerAt(at + offset);
  buffer = at;
}

/**
 * Returns the first bytes of the last read, for the socket whose event this is. They may be followed
 * by bytes of an earlier read: `length` must not be more than what the socket has received.
 */
export function lastRead(length: number): Uint8Array | undefined {
  return buffer === undefined ? undefined : memoryAt(buffer + PADDING, length);
}

function pointerAt(address: bigint): bigint | undefined {
  const bytes = memoryAt(address, 8);
  const pointer = bytes && new BigUint64Array(bytes.buffer)[0]!;
  return pointer === 0n ? undefined : pointer;
}

function memoryAt(address: bigint, length: number): Uint8Array | undefined {
  const bytes = new Uint8Array(length);
  const local = new BigUint64Array([libc.addressOf(bytes), BigInt(length)]);
  const remote = new BigUint64Array([address, BigInt(length)]);
  const [to, from] = [new Uint8Array(local.buffer), new Uint8Array(remote.buffer)];
  const count = libc.process_vm_readv(process.pid, to, 1, from, 1, 0);
  return count === length ? bytes : undefined;
}
