/** How much an event matters; `--log-level` chooses from which level on events are logged. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** One event, as data: workers and helpers send theirs to the master, which writes all of them. */
export interface LogEntry {
  readonly level: LogLevel;
  /** Stable, for machines: `connection-failed`, `worker-exited` … */
  readonly event: string;
  /** One line for people. If there is a fact `worker`, the log puts `worker N: ` in front of it. */
  readonly message: string;
  /** Flat members of the JSON form: worker, connection, client, source, code, cause … */
  readonly facts: Readonly<Record<string, string | number | boolean>>;
}

/** Takes the entries of a component. */
export type Log = (entry: LogEntry) => void;
