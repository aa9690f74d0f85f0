/** The levels of entries and those of LogTape's records, which differ in `warn` and `warning`. */
import type { LogLevel as RecordLevel } from "@logtape/logtape";
import type { LogLevel } from "../base/log_entry.ts";

/** The lowest level that is logged at `--log-level` 0, 1 and 2. */
export const lowestLevel = ["error", "info", "debug"] as const satisfies readonly RecordLevel[];

export function recordLevel(level: LogLevel): RecordLevel {
  return level === "warn" ? "warning" : level;
}

export function entryLevel(level: RecordLevel): LogLevel {
  switch (level) {
    case "trace":
      return "debug";
    case "warning":
      return "warn";
    // LogTape logs this for a sink that failed.
    case "fatal":
      return "error";
    default:
      return level;
  }
}
