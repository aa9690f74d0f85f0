import { availableParallelism } from "node:os";
import type { Libc } from "../os/libc.ts";

/**
 * Pins the calling thread, which runs the event loop, to one core, worker 1 to the first. Returns
 * the core's number, or undefined if the system refused.
 */
export function pinToCore(libc: Libc, slot: number): number | undefined {
  const core = (slot - 1) % availableParallelism();
  const mask = new Uint8Array(128);
  mask[core >> 3] = 1 << (core & 7);
  return libc.sched_setaffinity(0, mask.length, mask) === 0 ? core : undefined;
}
