import type { EventName } from "../base/events.ts";
import type { LogEntry } from "../base/log_entry.ts";
import type { LogConfig } from "../options/config.ts";

/**
 * Events that the status document shows at every level; the master drops them from its log. Even a
 * flood of failures is little to send: the rate limiter passes on ten equal ones in ten seconds.
 */
const SHOWN: readonly EventName[] = ["connection-failed", "connection-limit"];

/** Whether a worker sends an entry to the master. `hasStatus`: there is an admin endpoint. */
export function isSent(
  { level, event }: LogEntry,
  logLevel: LogConfig["level"],
  hasStatus: boolean,
): boolean {
  return logLevel > 0 || level === "error" || (hasStatus && SHOWN.includes(event));
}
