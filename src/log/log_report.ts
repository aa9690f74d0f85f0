import type { LogEntry } from "../base/log_entry.ts";

/** An entry that a worker or a helper process sends to the master, which writes the log. */
export interface LogEvent {
  readonly type: "log";
  readonly entry: LogEntry;
}

const levels = ["debug", "info", "warn", "error"];

/** Checks a decoded frame, which is untrusted. Undefined if it is not a log event. */
export function parseLogEvent(value: unknown): LogEvent | undefined {
  if (!isObject(value) || value.type !== "log") return undefined;
  return isLogEntry(value.entry) ? { type: "log", entry: value.entry } : undefined;
}

function isLogEntry(value: unknown): value is LogEntry {
  return isObject(value) && levels.includes(value.level as string) &&
    typeof value.event === "string" && typeof value.message === "string" &&
    isObject(value.facts) && Object.values(value.facts).every(isScalar);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isScalar(value: unknown): boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}
