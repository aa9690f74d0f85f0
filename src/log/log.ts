/**
 * The log, which the master alone writes: workers and helpers send it their entries, so that lines
 * never mix and no worker needs a descriptor for them. LogTape selects by level and passes records to
 * the sinks; entries become its records here.
 */
import { configureSync, drain, getLogger } from "@logtape/logtape";
import type { Log } from "../base/log_entry.ts";
import type { LogConfig } from "../options/config.ts";
import { Destinations, type LogContext } from "./destinations.ts";
import { lowestLevel, recordLevel } from "./levels.ts";

export interface OpenLog extends Log {
  /** Applies all of the new settings. A LogFileError leaves everything as it was. */
  configure(config: LogConfig): void;
  /** Reopens the log file after rotation. On failure it logs why and keeps the old file. */
  reopen(): void;
  /** Fulfilled when all lines are written, or after half a second. Call it before the process ends. */
  flush(): Promise<void>;
}

/**
 * Opens the log file, or standard error if `config` names none, and the system log if a facility is
 * configured. LogTape's configuration is global, so a process has one log. Throws a LogFileError.
 */
export function openLog(config: LogConfig, context: LogContext): OpenLog {
  const logger = getLogger("stud");
  const log: Log = ({ level, event, message, facts }) =>
    logger.emit({
      level: recordLevel(level),
      message: [message],
      rawMessage: message,
      timestamp: Date.now(),
      properties: { ...facts, event },
    });
  const destinations = new Destinations(context, log);
  const configure = (wanted: LogConfig) => {
    const sinks = destinations.configure(wanted);
    const all = Object.keys(sinks);
    configureSync({
      reset: true,
      sinks,
      loggers: [
        { category: "stud", lowestLevel: lowestLevel[wanted.level], sinks: all },
        // Reports a sink that threw to the other one.
        { category: ["logtape", "meta"], lowestLevel: "error", sinks: all },
      ],
    });
    destinations.reportUnreachable();
  };
  configure(config);
  return Object.assign(log, { configure, reopen: () => destinations.reopen(), flush: drain });
}
