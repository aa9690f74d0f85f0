/** Process 1 of a container gets the children of processes that have ended, and must collect them. */
import { WNOHANG } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import { cInt } from "../os/structures.ts";
import { childrenOf } from "./children.ts";

/** Collects the exits of orphans. */
export class Orphans {
  private readonly libc: Libc;
  private readonly pid: number;
  private seen = new Set<string>();

  /** `pid` is this process's. */
  constructor(libc: Libc, pid: number) {
    this.libc = libc;
    this.pid = pid;
  }

  /**
   * To be called every few seconds. The runtime collects the children that it has started itself as
   * soon as they exit, and needs their status; so a child counts as an orphan if it has waited since
   * the last call. Returns the pids of the collected ones.
   */
  collect(): number[] {
    const waiting = childrenOf(this.pid).filter(({ hasExited }) => hasExited);
    const orphans = waiting.filter(({ key }) => this.seen.has(key));
    this.seen = new Set(waiting.map(({ key }) => key));
    return orphans.map(({ pid }) => pid)
      .filter((pid) => this.libc.waitpid(pid, cInt(0), WNOHANG) === pid);
  }
}
