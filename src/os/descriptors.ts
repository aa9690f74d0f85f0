/** Descriptors on their way from one program to the next. */
import { closeSync, existsSync } from "node:fs";
import { FIOCLEX } from "./constants.ts";
import type { Libc } from "./libc.ts";
import { cInt } from "./structures.ts";

/**
 * Closes a descriptor that this process was started with. Deno has a copy of it, which `closeSync`
 * closes; as long as it has, it closes whatever gets the same number later.
 */
export function closeInherited(libc: Libc, fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // It has none.
  }
  if (existsSync(`/proc/self/fd/${fd}`)) libc.close(fd);
}

/** No program that this one starts finds the descriptor by mistake. */
export function keepFromChildren(libc: Libc, fd: number): void {
  libc.ioctl(fd, FIOCLEX, cInt(0));
}

/**
 * A copy with a number from `least` on: Deno gives a child its descriptors one after the other, and
 * one that lies where another belongs would be lost. Negative when the system refuses.
 */
export function copyFrom(libc: Libc, fd: number, least: number): number {
  const low: number[] = [];
  let copy = libc.dup(fd);
  while (copy >= 0 && copy < least) {
    low.push(copy);
    copy = libc.dup(fd);
  }
  for (const each of low) libc.close(each);
  keepFromChildren(libc, copy);
  return copy;
}
