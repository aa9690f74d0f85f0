import type { EventName } from "./events.ts";

/** The severity of an event; `--log-level` selects the lowest one that is logged. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** One event, as data: workers and helpers send theirs to the master, which logs them. */
export interface LogEntry {
  readonly level: LogLevel;
  /** Stable, for programs: `connection-failed`, `worker-exited` … */
  readonly event: EventName;
  /** One line of text. If there is a fact `worker`, the log prefixes it with `worker N: `. */
  readonly message: string;
  /**
   * Flat members of the JSON form: worker, connection, client, source, code, cause … A fact `pid` is
   * the process that the entry is about; without it that is the master.
   */
  readonly facts: Readonly<Record<string, string | number | boolean>>;
}

/** Logs an entry. */
export type Log = (entry: LogEntry) => void;
