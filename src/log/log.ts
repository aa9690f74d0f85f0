/**
 * The log, which only the master writes: workers and helpers send it their entries, so that lines
 * never mix and no worker needs a descriptor for them. LogTape selects by level and passes records to
 * the sinks; entries become its records here.
 */
import { configureSync, drain, getLogger, type LogRecord, type Sink } from "@logtape/logtape";
import { isQuiet } from "../base/error_classes.ts";
import type { Log } from "../base/log_entry.ts";
import type { LogConfig } from "../options/config.ts";
import { type Change, Destinations, type LogContext } from "./destinations.ts";
import { lowestLevel, recordLevel } from "./levels.ts";

export interface OpenLog extends Log {
  /** Opens the file of new settings, which `commit` applies. Throws a LogFileError. */
  prepare(config: LogConfig): LogChange;
  /** The present one: that of the settings, until it is set. */
  level: LogConfig["level"];
  /** Reopens the log file after rotation. On failure it logs why and keeps the old file. */
  reopen(): void;
  /** Fulfilled when all lines are written, or after half a second. Call it before the exit. */
  flush(): Promise<void>;
}

/** New settings for the log. Everything that can fail is done. */
export type LogChange = Change<void>;

/**
 * Opens the log file, or standard error if `config` names none, and syslog if a facility is
 * configured. LogTape's configuration is global, so a process has one log. Throws a LogFileError.
 */
export function openLog(config: LogConfig, context: LogContext): OpenLog {
  const logger = getLogger("stud");
  const { category } = logger;
  let quiet: LogConfig["quiet"] = [];
  const log: Log = (entry) => {
    if (isQuiet(quiet, entry)) return;
    const { level, event, message, facts } = entry;
    const record: LogRecord = {
      category,
      level: recordLevel(level),
      message: [message],
      rawMessage: message,
      timestamp: Date.now(),
      properties: { ...facts, event },
    };
    logger.emit(record);
  };
  const destinations = new Destinations(context, log);
  let sinks: Record<string, Sink> = {};
  let { level } = config;
  const prepare = (wanted: LogConfig): LogChange => {
    const change = destinations.prepare(wanted);
    return {
      drop: change.drop,
      commit() {
        quiet = wanted.quiet;
        sinks = change.commit();
        level = wanted.level;
        configureLogTape(sinks, level);
        destinations.reportUnreachable();
      },
    };
  };
  prepare(config).commit();
  const methods = { prepare, reopen: () => destinations.reopen(), flush: drain };
  return Object.defineProperty(Object.assign(log, methods), "level", {
    get: () => level,
    set(wanted: LogConfig["level"]) {
      level = wanted;
      configureLogTape(sinks, level);
    },
  }) as OpenLog;
}

function configureLogTape(sinks: Record<string, Sink>, level: LogConfig["level"]): void {
  const all = Object.keys(sinks);
  configureSync({
    reset: true,
    sinks,
    loggers: [
      { category: "stud", lowestLevel: lowestLevel[level], sinks: all },
      // Reports a sink that threw to the other one.
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: all },
    ],
  });
}
