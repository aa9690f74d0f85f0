/** The two forms of a line. Neither ends in a newline. */
import process from "node:process";
import type { LogRecord, TextFormatter } from "@logtape/logtape";
import type { EventName } from "../base/events.ts";
import { escapedJson, oneLine } from "../base/one_line.ts";
import { entryLevel } from "./levels.ts";

/**
 * `2026-01-02T03:04:05.678Z warn  [1234] connection-failed worker 1: message`, where 1234 is the pid
 * of the master, which writes the log: after SIGUSR2 two of them do.
 */
export const textLine: TextFormatter = (record) => {
  const level = entryLevel(record.level).padEnd(5);
  return `${timestamp(record)} ${level} [${process.pid}] ${syslogText(record)}`;
};

/**
 * An object with `time`, `level`, `master`, `pid`, `event`, `message` and then the facts. `master` is
 * the pid as in the text form, `pid` that of the process that the entry is about.
 */
export const jsonLine: TextFormatter = (record) => {
  const { pid = process.pid, ...facts } = record.properties;
  const head = {
    time: timestamp(record),
    level: entryLevel(record.level),
    master: process.pid,
    pid,
    event: eventOf(record),
    message: messageOf(record),
  };
  // A worker chooses the names of its facts, and none of them may replace a member of the head.
  return escapedJson(JSON.stringify({ ...head, ...facts, ...head }));
};

/** `connection-failed worker 1: message`, escaped by {@link oneLine}: syslog adds the rest. */
export function syslogText(record: LogRecord): string {
  const { worker } = record.properties;
  const subject = worker === undefined ? "" : `worker ${worker}: `;
  return oneLine(`${eventOf(record)} ${subject}${messageOf(record)}`);
}

/** LogTape's own records have none. */
function eventOf({ properties }: LogRecord): unknown {
  const own: EventName = "log-failed";
  return properties.event ?? own;
}

function messageOf({ message }: LogRecord): string {
  return message.join("");
}

function timestamp(record: LogRecord): string {
  return new Date(record.timestamp).toISOString();
}
