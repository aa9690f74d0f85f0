/** Descriptors that are passed from one program to the next. */
import process from "node:process";
import { closeSync, existsSync, readdirSync, readlinkSync } from "node:fs";
import {
  AF_UNIX,
  FIOCLEX,
  MSG_DONTWAIT,
  MSG_PEEK,
  POLLERR,
  POLLHUP,
  POLLNVAL,
  SOCK_CLOEXEC,
  SOCK_STREAM,
} from "./constants.ts";
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
 * Returns a path to an open descriptor that the runtime itself need not know. Deno replaces
 * /proc/self/fd/N by a descriptor that it was started with under this number, even if it is closed.
 */
export function descriptorPath(fd: number): string {
  return `/proc/${process.pid}/fd/${fd}`;
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

/**
 * Throws an Error if there are too few free descriptors to start a process that inherits `inherited`
 * of them. A start that fails halfway would leave sockets open on Node and Deno.
 */
export function assertCanStart(libc: Libc, inherited: number): void {
  const opened: number[] = [];
  while (opened.length < START_DESCRIPTORS + inherited) {
    const fd = libc.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) break;
    opened.push(fd);
  }
  for (const fd of opened) libc.close(fd);
  if (opened.length < START_DESCRIPTORS + inherited) {
    throw new Error("the limit of open files is reached");
  }
}

/** What a runtime opens meanwhile: three socket pairs and a pipe, with copies on Deno. */
const START_DESCRIPTORS = 16;

/** Returns the open sockets of this process: what the kernel calls each, by descriptor. */
export function openSockets(): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  for (const name of readdirSync(OWN_DESCRIPTORS)) {
    try {
      const link = readlinkSync(`${OWN_DESCRIPTORS}/${name}`);
      if (link.startsWith("socket:")) found.set(Number(name), link);
    } catch {
      // It was closed meanwhile: the one that reads the directory, for example.
    }
  }
  return found;
}

/**
 * Closes the sockets that are open since `before` and whose peer has closed, after the runtime has
 * had the time to do so.
 */
export function closeLeftSockets(libc: Libc, before: ReadonlyMap<number, string>): void {
  const opened = [...openSockets()].filter(([fd, link]) => before.get(fd) !== link);
  setTimeout(() => {
    const still = openSockets();
    for (const [fd, link] of opened) {
      const hasEnded = () => libc.recv(fd, new Uint8Array(1), 1, MSG_PEEK | MSG_DONTWAIT) === 0;
      if (still.get(fd) === link && hasEnded()) libc.close(fd);
    }
  }).unref();
}

const OWN_DESCRIPTORS = "/proc/self/fd";
