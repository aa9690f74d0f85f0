import type { Libc } from "../os/libc.ts";
import { allowedCores } from "../os/processors.ts";

/** The size of the kernel's largest set of cores, in bytes. */
const MASK_SIZE = 1024;

/**
 * Pins the calling thread, which runs the event loop, to one of the cores that this process may use,
 * worker 1 to the first. Returns the core's number, or undefined if the system refused.
 */
export function pinToCore(
  libc: Libc,
  slot: number,
  allowed: readonly number[] = allowedCores(),
): number | undefined {
  const core = allowed[(slot - 1) % allowed.length]!;
  const mask = new Uint8Array(MASK_SIZE);
  mask[core >> 3] = 1 << (core & 7);
  return libc.sched_setaffinity(0, mask.length, mask) === 0 ? core : undefined;
}
