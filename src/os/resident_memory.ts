import { readFileSync } from "node:fs";

/**
 * Returns the resident memory of a process in bytes, or 0 if it has exited or the system hides it. The
 * kernel's number needs no trust in the process.
 */
export function residentMemory(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
