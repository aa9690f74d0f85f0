import { type Stats, statSync } from "node:fs";
import type { ConfigurationStatus } from "../status/status.ts";

/** Returns the files that a configuration was just read from, with the times of their last change. */
export function fileTimes(paths: readonly string[]): ConfigurationStatus["files"] {
  return [...new Set(paths)].flatMap((path) => {
    const stat = statOf(path);
    return stat ? [{ path, changedAt: stat.mtime.toISOString() }] : [];
  });
}

/** Undefined if it has been removed, or moved out of reach, since it was read. */
function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
