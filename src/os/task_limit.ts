/** The limit of tasks (processes and threads) of the control groups, such as systemd's TasksMax. */
import { readdirSync } from "node:fs";
import { groupFiles } from "./cgroup.ts";

/** Returns how many more tasks can be started; Infinity without a limit. */
export function freeTasks(read?: (path: string) => string): number {
  const files = ["pids.max", "pids.current"];
  const groups = groupFiles({ controller: "pids", unified: files, legacy: files }, read);
  const free = groups.map(([max, current]) =>
    max === "max" ? Infinity : Math.max(0, Number(max) - Number(current))
  );
  return Math.min(Infinity, ...free);
}

/** Returns how many tasks this process has; 0 if that is unknown. */
export function ownTasks(): number {
  try {
    return readdirSync("/proc/self/task").length;
  } catch {
    return 0;
  }
}
