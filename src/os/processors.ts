/** The processors that this process may use. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { groupFiles } from "./cgroup.ts";

type Read = (path: string) => string;
const readText: Read = (path) => readFileSync(path, "latin1");

/** Returns the numbers of the cores to which affinity and cpusets restrict this process. */
export function allowedCores(read: Read = readText): number[] {
  let list: string | undefined;
  try {
    list = /^Cpus_allowed_list:\s*([\d,-]+)$/m.exec(read("/proc/self/status"))?.[1];
  } catch {
    // Without /proc, the count is all that is known.
  }
  if (list === undefined) return Array.from({ length: availableParallelism() }, (_, i) => i);
  return list.split(",").flatMap((range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/**
 * Returns the number of cores whose time this process may use: those that are allowed, or as many as
 * the quotas of its control groups allow, rounded down; at least 1.
 */
export function usableCores(read: Read = readText): number {
  const quotas = groupFiles({
    controller: "cpu",
    unified: ["cpu.max"],
    legacy: ["cpu.cfs_quota_us", "cpu.cfs_period_us"],
  }, read);
  const worth = quotas.map((texts) => {
    const [quota, period] = texts.join(" ").split(" ").map(Number);
    // "max" in version 2, -1 in version 1: unlimited.
    return quota! > 0 && period! > 0 ? Math.floor(quota! / period!) : Infinity;
  });
  return Math.max(1, Math.min(allowedCores(read).length, ...worth));
}
