/**
 * The one way to say something while stud runs. Workers send their entries to the master, which
 * writes all of them, so that lines never mix and a worker needs no descriptor for them.
 */
import { configureSync, getLogger, type LogRecord } from "@logtape/logtape";
import { LineWriter } from "./line_writer.ts";

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
  /** Fulfilled when all is written that can be; call it before the process ends. */
  flush(): Promise<void>;
}

/** The least level that is written at `--log-level` 0, 1 and 2. */
const lowestLevel = ["error", "info", "debug"] as const;

/** Standard error as the destination, in text or one JSON object a line. */
export function openLog(level: 0 | 1 | 2, format: "text" | "json"): OpenLog {
  const render = format === "json" ? jsonLine : textLine;
  const stderr = new LineWriter(2);
  configureSync({
    sinks: { stderr: (record) => stderr.write(render(record)) },
    loggers: [
      { category: "stud", lowestLevel: levelName(lowestLevel[level]), sinks: ["stderr"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["stderr"] },
    ],
  });
  const logger = getLogger("stud");
  const log = ({ level, event, message, facts }: LogEntry) => {
    // The template is ours and the message a value in it: a brace sent by a client stays a brace.
    logger[level]("{message}", { ...facts, event, message });
  };
  stderr.onDropped = (lines) =>
    log({
      level: "error",
      event: "log-dropped",
      message: `${lines} lines were lost, because nobody read the log fast enough`,
      facts: { lines },
    });
  return Object.assign(log, { flush: () => stderr.flush() });
}

function levelName(level: LogLevel): LogRecord["level"] {
  return level === "warn" ? "warning" : level;
}

/** `2026-01-02T03:04:05.678Z warn  worker 1: message`. */
function textLine(record: LogRecord): string {
  const { worker, message } = record.properties;
  const who = worker === undefined ? "" : `worker ${worker}: `;
  return `${timestamp(record)} ${level(record).padEnd(5)} ${who}${printable(String(message))}`;
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

function level(record: LogRecord): string {
  return record.level === "warning" ? "warn" : record.level;
}

/** Names and reasons come from the network: no control character of theirs reaches a terminal. */
function printable(text: string): string {
  return text.replaceAll(
    // deno-lint-ignore no-control-regex
    /[\x00-\x1f\x7f-\x9f\u2028\u2029]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
