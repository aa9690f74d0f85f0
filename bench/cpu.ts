/** How much processor time a program has used: all its processes together, to the nanosecond. */
import { readdirSync } from "node:fs";
import { libcName } from "../src/os/libc.ts";
import { ffi } from "../src/runtime/node/libc.ts";
import { parentOf } from "../tests/support/processes.ts";

/** A process with all that descend from it, the first one first. */
export function processTree(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync("/proc")) {
    const child = Number(entry);
    if (!child) continue;
    const parent = parentOf(child);
    children.set(parent, [...children.get(parent) ?? [], child]);
  }
  const tree = [pid];
  for (const each of tree) tree.push(...children.get(each) ?? []);
  return tree;
}

/**
 * Processor time of the processes since each began, in microseconds. Throws where one has ended:
 * what it used is then no longer known.
 */
export function cpuTime(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuTimeOf(pid), 0);
}

/**
 * By the processes' own clocks (clock_getcpuclockid(3)), which the scheduler keeps exactly and
 * which count threads that have ended; /proc/PID/stat tells the same in ticks of 10 ms.
 */
function cpuTimeOf(pid: number): number {
  const CPUCLOCK_SCHED = 2;
  if (clockGettime((~pid << 3) | CPUCLOCK_SCHED, timespec) !== 0) {
    throw new Error(`process ${pid} of the program under test has ended`);
  }
  return Number(timespec.readBigInt64LE(0)) * 1e6 + Number(timespec.readBigInt64LE(8)) / 1e3;
}

const timespec = Buffer.alloc(16);
const { clock_gettime: clockGettime } = ffi.dlopen(libcName, {
  clock_gettime: { arguments: ["i32", "buffer"], return: "i32" },
}).functions as { clock_gettime: (clock: number, time: Buffer) => number };
