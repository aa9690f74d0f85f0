/**
 * The one way to say something while stud runs. Workers send their entries to the master, which
 * writes all of them, so that lines never mix and a worker needs no descriptor for them.
 */
import { configureSync, getLogger, type LogRecord } from "@logtape/logtape";
import { LineWriter } from "./line_writer.ts";
import type { LogConfig } from "./options/config.ts";
import type { Dialect } from "./base/dialect.ts";
import type { Libc } from "./os/libc.ts";
import { LogFile } from "./system/log_file.ts";
import { facilityNumber, Syslog } from "./system/syslog.ts";

export { LogFileError } from "./system/log_file.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface LogEntry {
  readonly level: LogLevel;
  /** Stable, for machines: `connection-failed`, `worker-exited` … */
  readonly event: string;
  /** One line for people; where there is a fact `worker`, that is its subject. */
  readonly message: string;
  /** Flat members of the JSON form: worker, connection, client, source, code, cause … */
  readonly facts: Readonly<Record<string, string | number | boolean>>;
}

export type Log = (entry: LogEntry) => void;

export interface OpenLog extends Log {
  /** Applies new settings, all of them; a LogFileError leaves everything as it was. */
  configure(config: LogConfig): void;
  /** Opens the log file again, for those who rotate it. A failure keeps the old one and says so. */
  reopen(): void;
  /** Fulfilled when all is written that can be; call it before the process ends. */
  flush(): Promise<void>;
}

export interface LogContext {
  readonly libc: Libc;
  /** Its name is what syslog shows. */
  readonly dialect: Dialect;
  /** The socket of the system's log; absent: the usual one. */
  readonly syslogPath?: string;
}

/** The least level that is written at `--log-level` 0, 1 and 2. */
const lowestLevel = ["error", "info", "debug"] as const;

/**
 * Opens the log file, or standard error where there is none, and the system's log where it is
 * asked for. There is one log in a process. Throws a LogFileError.
 */
export function openLog(config: LogConfig, context: LogContext): OpenLog {
  const logger = getLogger("stud");
  const log: Log = ({ level, event, message, facts }) => {
    // The template is ours and the message a value in it: a brace sent by a client stays a brace.
    logger[level]("{message}", { ...facts, event, message });
  };
  const destinations = new Destinations(context, log);
  const configure = (wanted: LogConfig) => {
    destinations.configure(wanted);
    const lowest = levelName(lowestLevel[wanted.level]);
    configureSync({
      reset: true,
      sinks: { all: (record) => destinations.write(record) },
      loggers: [
        { category: "stud", lowestLevel: lowest, sinks: ["all"] },
        { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["all"] },
      ],
    });
    destinations.tellWhatIsAway();
  };
  configure(config);
  return Object.assign(log, {
    configure,
    reopen: () => destinations.reopen(),
    flush: () => destinations.flush(),
  });
}

/** Where lines go: standard error or a file, and the system's log beside it. */
class Destinations {
  private readonly context: LogContext;
  private readonly log: Log;
  private readonly stderr = new LineWriter(2);
  private file: LogFile | undefined;
  private facility: number | undefined;
  private syslog: Syslog | undefined;
  private render = textLine;

  constructor(context: LogContext, log: Log) {
    this.context = context;
    this.log = log;
    this.stderr.onDropped = (lines) => this.tellDropped(lines);
  }

  /** Throws a LogFileError before anything has changed. */
  configure({ file, format, syslog }: LogConfig): void {
    if (file !== (this.file?.path ?? "")) {
      const opened = file === "" ? undefined : this.openFile(file);
      this.file?.close();
      this.file = opened;
    }
    this.render = format === "json" ? jsonLine : textLine;
    const facility = facilityNumber(syslog, this.context.dialect);
    if (facility !== this.facility) this.openSyslog(facility);
  }

  tellWhatIsAway(): void {
    if (!this.syslog || this.syslog.isConnected) return;
    this.log({
      level: "warn",
      event: "syslog-away",
      message: "the system's log cannot be reached; lines for it are lost until it can",
      facts: {},
    });
  }

  write(record: LogRecord): void {
    (this.file ?? this.stderr).write(this.render(record));
    this.syslog?.write(level(record), subjectAndMessage(record));
  }

  reopen(): void {
    this.file?.reopen();
  }

  async flush(): Promise<void> {
    await (this.file ?? this.stderr).flush();
  }

  private openFile(path: string): LogFile {
    const file = new LogFile(path);
    file.onDropped = (lines) => this.tellDropped(lines);
    file.onTrouble = (reason) =>
      this.log({
        level: "error",
        event: "log-not-reopened",
        message: `cannot open the log file ${path} again: ${reason}; writing on to the old one`,
        facts: { file: path, cause: reason },
      });
    return file;
  }

  private openSyslog(facility: number | undefined): void {
    const { libc, dialect, syslogPath } = this.context;
    this.syslog?.close();
    this.facility = facility;
    this.syslog = facility === undefined
      ? undefined
      : new Syslog(libc, facility, dialect, syslogPath === undefined ? {} : { path: syslogPath });
  }

  private tellDropped(lines: number): void {
    this.log({
      level: "error",
      event: "log-dropped",
      message: `${lines} lines were lost, because the log did not take them fast enough`,
      facts: { lines },
    });
  }
}

function levelName(level: LogLevel): LogRecord["level"] {
  return level === "warn" ? "warning" : level;
}

/** `2026-01-02T03:04:05.678Z warn  worker 1: message`. */
function textLine(record: LogRecord): string {
  return `${timestamp(record)} ${level(record).padEnd(5)} ${subjectAndMessage(record)}`;
}

/** `worker 1: message`, or the message alone. */
function subjectAndMessage(record: LogRecord): string {
  const { worker, message } = record.properties;
  const who = worker === undefined ? "" : `worker ${worker}: `;
  return `${who}${printable(String(message))}`;
}

function jsonLine(record: LogRecord): string {
  const { event, message, ...facts } = record.properties;
  return JSON.stringify({
    time: timestamp(record),
    level: level(record),
    event,
    message,
    ...facts,
  });
}

function timestamp(record: LogRecord): string {
  return new Date(record.timestamp).toISOString();
}

function level(record: LogRecord): LogLevel {
  switch (record.level) {
    case "warning":
      return "warn";
    case "trace":
      return "debug";
    case "fatal":
      return "error";
    default:
      return record.level;
  }
}

/** Names and reasons come from the network: no control character of theirs reaches a terminal. */
function printable(text: string): string {
  return text.replaceAll(
    // deno-lint-ignore no-control-regex
    /[\x00-\x1f\x7f-\x9f\u2028\u2029]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
