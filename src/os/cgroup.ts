/** The limits of the control groups that this process is in (cgroups(7)). */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Where the hierarchies are mounted; the second one beside those of version 1. */
const UNIFIED = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/** A limit's files, whose names differ between the versions of control groups. */
export interface GroupFiles {
  readonly controller: string;
  /** In version 2. */
  readonly unified: readonly string[];
  /** In version 1. */
  readonly legacy: readonly string[];
}

/**
 * Returns the trimmed contents of the files in each group from this process's own to the root of what
 * it sees, for the groups that have all of them. `read` throws for a file that is missing.
 */
export function groupFiles(
  { controller, unified, legacy }: GroupFiles,
  read: (path: string) => string = (path) => readFileSync(path, "latin1"),
): string[][] {
  return hierarchies(controller, read).flatMap(({ mounts, path, isUnified }) =>
    levels(path).flatMap((level) =>
      mounts.flatMap((mount) => {
        try {
          const files = isUnified ? unified : legacy;
          return [files.map((file) => read(join(mount, level, file)).trim())];
        } catch {
          // The controller is not enabled there, or the path is another container's.
          return [];
        }
      })
    )
  );
}

interface Hierarchy {
  readonly mounts: readonly string[];
  readonly path: string;
  readonly isUnified: boolean;
}

function hierarchies(controller: string, read: (path: string) => string): Hierarchy[] {
  let lines: string[];
  try {
    lines = read("/proc/self/cgroup").trim().split("\n");
  } catch {
    return [];
  }
  return lines.flatMap((line): Hierarchy[] => {
    const [, controllers = "", path = "/"] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === "") return [{ mounts: UNIFIED, path, isUnified: true }];
    if (!controllers.split(",").includes(controller)) return [];
    const mounts = [...new Set([controller, controllers])].map((name) => `/sys/fs/cgroup/${name}`);
    return [{ mounts, path, isUnified: false }];
  });
}

/** A path and all directories above it. */
function levels(path: string): string[] {
  return path === "/" ? [path] : [path, ...levels(dirname(path))];
}
