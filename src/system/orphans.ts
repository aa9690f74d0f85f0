/** Process 1 of a container gets the children of processes that have ended, and must collect them. */
import { readdirSync, readFileSync } from "node:fs";
import { WNOHANG } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import { cInt } from "../os/structures.ts";

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
    const waiting = zombiesOf(this.pid);
    const orphans = waiting.filter(({ key }) => this.seen.has(key));
    this.seen = new Set(waiting.map(({ key }) => key));
    return orphans.map(({ pid }) => pid)
      .filter((pid) => this.libc.waitpid(pid, cInt(0), WNOHANG) === pid);
  }
}

/** A process that has exited; `key` also has the time of its start. */
interface Zombie {
  readonly pid: number;
  readonly key: string;
}

function zombiesOf(parent: number): Zombie[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "latin1");
      // The program's name can contain anything (proc_pid_stat(5)).
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const [state, ppid, startTime] = [fields[0], Number(fields[1]), fields[19]];
      if (state !== "Z" || ppid !== parent) return [];
      return [{ pid: Number(name), key: `${name} ${startTime}` }];
    } catch {
      // It has been collected meanwhile.
      return [];
    }
  });
}
