/**
 * The limits of tasks (processes and threads): those of the control groups, such as systemd's TasksMax,
 * and the user's (RLIMIT_NPROC).
 */
import { readdirSync, readFileSync } from "node:fs";
import { groupFiles } from "./cgroup.ts";

/** Where the limits are read; tests have others. */
export interface TaskSystem {
  /** Throws if there is no such file. */
  read(path: string): string;
  /** The names in /proc. */
  processes(): readonly string[];
}

const thisSystem: TaskSystem = {
  read: (path) => readFileSync(path, "latin1"),
  processes: () => readdirSync("/proc"),
};

/** Returns how many more tasks can be started; Infinity without a limit. */
export function freeTasks(system: TaskSystem = thisSystem): number {
  return Math.min(freeInGroups(system), freeForUser(system));
}

/** Returns how many tasks this process has; 0 if that is unknown. */
export function ownTasks(): number {
  try {
    return readdirSync("/proc/self/task").length;
  } catch {
    return 0;
  }
}

function freeInGroups({ read }: TaskSystem): number {
  const files = ["pids.max", "pids.current"];
  const groups = groupFiles({ controller: "pids", unified: files, legacy: files }, read);
  const free = groups.map(([max, current]) =>
    max === "max" ? Infinity : Math.max(0, Number(max) - Number(current))
  );
  return Math.min(Infinity, ...free);
}

/** Root has no such limit (getrlimit(2)). */
function freeForUser({ read, processes }: TaskSystem): number {
  const limit = numberIn(textOf(read, "/proc/self/limits"), /^Max processes +(\d+)/m);
  const user = userIn(textOf(read, "/proc/self/status"));
  if (Number.isNaN(limit) || user === undefined || user === "0") return Infinity;
  const used = processes().filter((name) => /^\d+$/.test(name))
    .map((name) => textOf(read, `/proc/${name}/status`))
    .filter((status) => userIn(status) === user)
    .reduce((sum, status) => sum + numberIn(status, /^Threads:\s+(\d+)$/m), 0);
  return Math.max(0, limit - used);
}

/** The real user, who is charged. */
function userIn(status: string): string | undefined {
  return /^Uid:\s+(\d+)/m.exec(status)?.[1];
}

function numberIn(text: string, pattern: RegExp): number {
  return Number(pattern.exec(text)?.[1]);
}

/** Empty if it cannot be read; a process can end meanwhile. */
function textOf(read: TaskSystem["read"], path: string): string {
  try {
    return read(path);
  } catch {
    return "";
  }
}
