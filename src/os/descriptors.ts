/** Descriptors that are passed from one program to the next. */
import { closeSync, existsSync } from "node:fs";
import { FIOCLEX, POLLERR, POLLHUP, POLLNVAL } from "./constants.ts";
import type { Libc } from "./libc.ts";
import { cInt, pollEntry, pollEvents } from "./structures.ts";

/**
 * Closes a descriptor that this process inherited. Deno has its own record of it, which `closeSync`
 * removes; otherwise Deno would close whatever gets the same number later.
 */
export function closeInherited(libc: Libc, fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // The runtime has no record of it.
  }
  if (existsSync(`/proc/self/fd/${fd}`)) libc.close(fd);
}

/** Whether all processes have closed the other end of a pipe or of a pair of sockets. */
export function isPeerGone(libc: Libc, fd: number): boolean {
  const entry = pollEntry(fd);
  return libc.poll(entry, 1, 0) > 0 && (pollEvents(entry) & (POLLERR | POLLHUP | POLLNVAL)) !== 0;
}

/** Sets close-on-exec, so that no program that this one starts inherits the descriptor by mistake. */
export function keepFromChildren(libc: Libc, fd: number): void {
  libc.ioctl(fd, FIOCLEX, cInt(0));
}

/**
 * Returns a copy with a number of at least `min`: Deno assigns a child's descriptors one after the
 * other, and would overwrite one whose number it has yet to assign. Negative if the system refuses.
 */
export function copyFrom(libc: Libc, fd: number, min: number): number {
  const low: number[] = [];
  let copy = libc.dup(fd);
  while (copy >= 0 && copy < min) {
    low.push(copy);
    copy = libc.dup(fd);
  }
  for (const each of low) libc.close(each);
  keepFromChildren(libc, copy);
  return copy;
}
