/**
 * Pauses listening sockets of Bun, which has no way to do so: to listen anew would make a new
 * SSL_CTX, and with it an end of all sessions. UNDOCUMENTED: that Bun 1.4.5 waits by epoll,
 * level-triggered, on the number of the descriptor it was given, and that it accepts in a loop
 * until accept fails. tests/unit/runtime_pause.test.ts covers it.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { cString } from "../../os/structures.ts";
import { epollEvent } from "../../os/structures.ts";
import { EPOLL_CTL_MOD } from "../../os/constants.ts";
import { O_CLOEXEC } from "../../os/constants.ts";
import { O_RDONLY } from "../../os/constants.ts";
import { libc } from "./libc.ts";

/** One listening socket in Bun's event loop. */
export class Poll {
  private readonly fd: number;
  private readonly entry: Entry | undefined;
  /** A copy of the socket while it is paused. */
  private kept = -1;

  /** Bun listens on `fd` already. The first time it needs /proc. */
  constructor(fd: number) {
    this.fd = fd;
    this.entry = findEntry(fd);
  }

  /** Where the system does not tell what epoll watches, or has no descriptor left, it goes on. */
  pause(): void {
    const { fd, entry, kept } = this;
    if (!entry || kept >= 0) return;
    this.kept = libc.dup(fd);
    if (this.kept < 0) return;
    libc.epoll_ctl(entry.loop.epoll, EPOLL_CTL_MOD, fd, epollEvent(0, entry.data));
    // What is no socket ends the loop in which Bun accepts all that wait, in this turn too.
    libc.dup2(entry.loop.info, fd);
  }

  resume(): void {
    const { fd, entry } = this;
    if (!entry || !this.restore()) return;
    libc.epoll_ctl(entry.loop.epoll, EPOLL_CTL_MOD, fd, epollEvent(entry.events, entry.data));
  }

  /** Bun is about to close the socket, and takes it out of epoll by its descriptor. */
  end(): void {
    this.restore();
  }

  private restore(): boolean {
    const { fd, kept } = this;
    if (kept < 0) return false;
    libc.dup2(kept, fd);
    libc.close(kept);
    this.kept = -1;
    return true;
  }
}

/** An epoll descriptor, with one of the file in which the kernel tells what it watches. */
interface Loop {
  readonly epoll: number;
  readonly info: number;
}

/** How a descriptor is watched. */
interface Entry {
  readonly loop: Loop;
  readonly events: number;
  /** Bun's pointer. */
  readonly data: bigint;
}

/**
 * Bun's, looked for once: it stays open, since a worker sees no /proc after it entered its chroot.
 * Null where the system does not tell what epoll watches.
 */
let loop: Loop | null | undefined;

function findEntry(fd: number): Entry | undefined {
  if (loop === undefined) loop = findLoop(fd);
  return loop ? entryIn(loop, fd) : undefined;
}

/** The one that watches this descriptor. */
function findLoop(fd: number): Loop | null {
  for (const epoll of epolls()) {
    const info = libc.open(cString(`/proc/self/fdinfo/${epoll}`), O_RDONLY | O_CLOEXEC, 0);
    if (entryIn({ epoll, info }, fd)) return { epoll, info };
    libc.close(info);
  }
  return null;
}

function epolls(): number[] {
  return readdirSync("/proc/self/fd").map(Number).filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === "anon_inode:[eventpoll]";
    } catch {
      // That of the directory itself.
      return false;
    }
  });
}

function entryIn(loop: Loop, fd: number): Entry | undefined {
  const line = new RegExp(`^tfd: +${fd} events: +([0-9a-f]+) data: +([0-9a-f]+)`, "m");
  const [, events, data] = line.exec(readInfo(loop.info)) ?? [];
  if (events === undefined || data === undefined) return undefined;
  return { loop, events: parseInt(events, 16), data: BigInt(`0x${data}`) };
}

/** One line for each descriptor that is watched. */
function readInfo(info: number): string {
  const decoder = new TextDecoder();
  const chunk = new Uint8Array(65_536);
  let text = "";
  for (let at = 0;;) {
    const length = libc.pread(info, chunk, chunk.length, at);
    if (length <= 0) return text;
    text += decoder.decode(chunk.subarray(0, length));
    at += length;
  }
}
