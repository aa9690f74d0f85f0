/** The two forms of a line. Neither ends in a newline. */
import type { LogRecord, TextFormatter } from "@logtape/logtape";
import { oneLine } from "../base/one_line.ts";
import { entryLevel } from "./levels.ts";

/** `2026-01-02T03:04:05.678Z warn  worker 1: message`. */
export const textLine: TextFormatter = (record) =>
  `${timestamp(record)} ${entryLevel(record.level).padEnd(5)} ${messageWithSubject(record)}`;

/** An object with `time`, `level`, `event`, `message` and then the facts. */
export const jsonLine: TextFormatter = (record) => {
  const { event, ...facts } = record.properties;
  const head = {
    time: timestamp(record),
    level: entryLevel(record.level),
    event,
    message: messageOf(record),
  };
  // A worker chooses the names of its facts, and none of them may replace a member of the head.
  return JSON.stringify({ ...head, ...facts, ...head });
};

/** `worker 1: message`, or the message alone; without control characters. */
export function messageWithSubject(record: LogRecord): string {
  const { worker } = record.properties;
  const subject = worker === undefined ? "" : `worker ${worker}: `;
  return oneLine(`${subject}${messageOf(record)}`);
}

function messageOf({ message }: LogRecord): string {
  return message.join("");
}

function timestamp(record: LogRecord): string {
  return new Date(record.timestamp).toISOString();
}
