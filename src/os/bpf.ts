/** Programs of classic BPF, as `SO_ATTACH_REUSEPORT_CBPF` takes them. */
import { endianness } from "node:os";

const littleEndian = endianness() === "LE";

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
