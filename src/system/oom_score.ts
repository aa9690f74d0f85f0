import { readFileSync, writeFileSync } from "node:fs";

const FILE = "/proc/self/oom_score_adj";
/** What a worker adds to the score that it inherits, of 2,000 (proc_pid_oom_score_adj(5)). */
const WORKER_MORE = 200;
const MAX = 1000;

/**
 * Makes the kernel choose this process before the master when memory runs out: a worker is replaced in
 * a moment, while a service without a master ends. Needs no privilege, but a process that others may
 * inspect.
 */
export function dieBeforeMaster(): void {
  try {
    const own = Number(readFileSync(FILE, "latin1"));
    writeFileSync(FILE, String(Math.min(MAX, own + WORKER_MORE)));
  } catch {
    // The kernel then chooses by size alone.
  }
}
