/** A clock that all processes share. */
import { endianness } from "node:os";
import { CLOCK_MONOTONIC } from "./constants.ts";
import type { Libc } from "./libc.ts";

const littleEndian = endianness() === "LE";

/**
 * Returns microseconds of CLOCK_MONOTONIC, which all processes share; the runtimes' own clocks begin
 * with the process.
 */
export function monotonicMicroseconds(libc: Libc): bigint {
  const time = new Uint8Array(16);
  libc.clock_gettime(CLOCK_MONOTONIC, time);
  const view = new DataView(time.buffer);
  const [seconds, nanoseconds] = [0, 8].map((at) => view.getBigInt64(at, littleEndian));
  return seconds! * 1_000_000n + nanoseconds! / 1000n;
}
