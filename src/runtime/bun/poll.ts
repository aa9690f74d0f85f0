/**
 * Pauses listening sockets of Bun, which cannot do so itself: a new listener would make a new SSL_CTX,
 * and no earlier session would resume. UNDOCUMENTED: Bun 1.4.5 waits with epoll, level-triggered, on
 * the descriptor number that it was given, and accepts in a loop until accept fails.
 * tests/unit/runtime_pause.test.ts covers it.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { cString } from "../../os/structures.ts";
import { epollEvent } from "../../os/structures.ts";
import { EPOLL_CTL_MOD } from "../../os/constants.ts";
import { O_CLOEXEC } from "../../os/constants.ts";
import { O_RDONLY } from "../../os/constants.ts";
import { locateBuffer } from "./last_read.ts";
import { libc } from "./libc.ts";

/** One listening socket in Bun's event loop. */
export class Poll {
  private readonly fd: number;
  private readonly entry: Entry | undefined;
  /** A copy of the socket's descriptor while it is paused. */
  private copy = -1;

  /** Bun already listens on `fd`. The first call needs /proc. */
  constructor(fd: number) {
    this.fd = fd;
    this.entry = findEntry(fd);
    if (this.entry) locateBuffer(this.entry.data);
  }

  /** Has no effect if the system does not show what epoll watches, or has no descriptor left. */
  pause(): void {
    const { fd, entry, copy } = this;
    if (!entry || copy >= 0) return;
    this.copy = libc.dup(fd);
    if (this.copy < 0) return;
    libc.epoll_ctl(entry.loop.epoll, EPOLL_CTL_MOD, fd, epollEvent(0, entry.data));
    // A descriptor that is not a socket ends Bun's accept loop, also in this turn.
    libc.dup2(entry.loop.info, fd);
  }

  resume(): void {
    const { fd, entry } = this;
    if (!entry || !this.restore()) return;
    libc.epoll_ctl(entry.loop.epoll, EPOLL_CTL_MOD, fd, epollEvent(entry.events, entry.data));
  }

  /** Called before Bun closes the socket, which it removes from epoll by its descriptor. */
  end(): void {
    this.restore();
  }

  private restore(): boolean {
    const { fd, copy } = this;
    if (copy < 0) return false;
    libc.dup2(copy, fd);
    libc.close(copy);
    this.copy = -1;
    return true;
  }
}

/** An epoll descriptor, and one of the file in which the kernel shows what it watches. */
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
 * Bun's loop, looked up once; `info` stays open, since a worker has no /proc after it enters its
 * chroot. Null if the system does not show what epoll watches.
 */
let loop: Loop | null | undefined;

function findEntry(fd: number): Entry | undefined {
  if (loop === undefined) loop = findLoop(fd);
  return loop ? entryIn(loop, fd) : undefined;
}

/** Returns the loop that watches this descriptor. */
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
      // The descriptor of the directory itself.
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

/** Returns one line for each watched descriptor. */
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
