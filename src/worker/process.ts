import { availableParallelism } from "node:os";
import type { Ids } from "../control/messages.ts";
import type { Libc } from "../runtime/types.ts";

/**
 * Becomes another user for good, supplementary groups included, in all threads.
 * Throws an Error when the system refuses.
 */
export function dropPrivileges(libc: Libc, { uid, gid }: Ids): void {
  const groups = new Uint32Array([gid]);
  if (libc.setgroups(1, new Uint8Array(groups.buffer)) !== 0) {
    throw new Error(`setgroups was refused (errno ${libc.errno()}); start stud as root`);
  }
  process.setgid!(gid);
  process.setuid!(uid);
}

/**
 * Ties the calling thread, which runs the event loop, to one core: worker 1 to the first.
 * The result is the core's number, or undefined when the system refused.
 */
export function pinToCore(libc: Libc, slot: number): number | undefined {
  const core = (slot - 1) % availableParallelism();
  const mask = new Uint8Array(128);
  mask[core >> 3] = 1 << (core & 7);
  return libc.sched_setaffinity(0, mask.length, mask) === 0 ? core : undefined;
}
