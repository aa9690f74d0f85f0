/** Classic BPF programs for `SO_ATTACH_REUSEPORT_CBPF`. */
import { endianness } from "node:os";

const littleEndian = endianness() === "LE";

/** One classic BPF instruction, `struct sock_filter`. */
export interface Instruction {
  readonly code: number;
  /** A 32-bit operand, or an offset in a packet. */
  readonly k?: number;
  /** Number of instructions to skip if a test is true, and if it is false. */
  readonly ifTrue?: number;
  readonly ifFalse?: number;
}

/** Returns an array of `struct sock_filter`. */
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

/** Returns a `struct sock_fprog` for the result of {@link sockFilters} at this address. */
export function sockFprog(filters: Uint8Array, address: bigint): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, filters.length / 8, littleEndian);
  view.setBigUint64(8, address, littleEndian);
  return bytes;
}
