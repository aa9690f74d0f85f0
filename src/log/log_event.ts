import { isEventName } from "../base/events.ts";
import type { LogEntry } from "../base/log_entry.ts";

/** An entry that a worker or a helper process sends to the master, which writes the log. */
export interface LogEvent {
  readonly type: "log";
  readonly entry: LogEntry;
}

const levels = ["debug", "info", "warn", "error"];

/**
 * Parses a decoded frame, which is untrusted; undefined if it is not a log event. Facts that are not
 * scalars are omitted: JSON turns NaN and Infinity into null.
 */
export function parseLogEvent(value: unknown): LogEvent | undefined {
  if (!isObject(value) || value.type !== "log" || !isObject(value.entry)) return undefined;
  const { level, event, message, facts } = value.entry;
  if (!isLevel(level) || !isEventName(event) || typeof message !== "string") return undefined;
  if (!isObject(facts)) return undefined;
  const scalars = Object.entries(facts).filter(([, fact]) => isScalar(fact));
  const entry = { level, event, message, facts: Object.fromEntries(scalars) as LogEntry["facts"] };
  return { type: "log", entry };
}

function isLevel(value: unknown): value is LogEntry["level"] {
  return levels.includes(value as string);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isScalar(value: unknown): boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}
