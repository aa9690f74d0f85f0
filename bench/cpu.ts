/** CPU time of a program: the sum over all its processes, to the nanosecond. */
import { readdirSync } from "node:fs";
import { libcName } from "../src/os/libc.ts";
import { ffi } from "../src/runtime/node/libc.ts";
import { parentOf } from "../tests/support/processes.ts";

/** Returns a process and all its descendants, the process itself first. */
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
 * Returns the CPU time of the processes since each one started, in microseconds. Throws if one has
 * exited: its CPU time is then unknown.
 */
export function cpuTime(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuTimeOf(pid), 0);
}

/**
 * Reads the process's own clock (clock_getcpuclockid(3)), which is exact and includes threads that
 * have exited; /proc/PID/stat has the same in ticks of 10 ms.
 */
function cpuTimeOf(pid: number): number {
  const CPUCLOCK_SCHED = 2;
  if (clockGettime((~pid << 3) | CPUCLOCK_SCHED, timespec) !== 0) {
    throw new Error(`process ${pid} of the program under test has exited`);
  }
  return Number(timespec.readBigInt64LE(0)) * 1e6 + Number(timespec.readBigInt64LE(8)) / 1e3;
}

const timespec = Buffer.alloc(16);
const { clock_gettime: clockGettime } = ffi.dlopen(libcName, {
  clock_gettime: { arguments: ["i32", "buffer"], return: "i32" },
}).functions as { clock_gettime: (clock: number, time: Buffer) => number };
