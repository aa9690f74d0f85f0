import { readdirSync, readFileSync } from "node:fs";

/** A child of a process. */
export interface Child {
  readonly pid: number;
  /** The pid and the time of its start, which no later process has. */
  readonly key: string;
  /** Its parent has not collected its status yet. */
  readonly hasExited: boolean;
}

/** Returns the children of a process by /proc; none where that is missing. */
export function childrenOf(parent: number): Child[] {
  return pids().flatMap((name) => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "latin1");
      // The program's name can contain anything (proc_pid_stat(5)).
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const [state, ppid, startTime] = [fields[0], Number(fields[1]), fields[19]];
      if (ppid !== parent) return [];
      return [{ pid: Number(name), key: `${name} ${startTime}`, hasExited: state === "Z" }];
    } catch {
      // It was collected in the meantime.
      return [];
    }
  });
}

function pids(): string[] {
  try {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}
