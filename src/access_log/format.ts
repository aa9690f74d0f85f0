/**
 * The two forms of a line. Names come from strangers, and nothing in them may end a line or a value,
 * or control a terminal.
 */
import { escapedJson } from "../base/one_line.ts";
import { type AccessRecord, FIELDS } from "./record.ts";

/** PIPE_BUF on Linux: a write of at most so many bytes to a pipe is not mixed with others. */
export const MAX_LINE = 4096;

/** Longer texts are cut to this number of characters, with … at their end. */
const MAX_TEXT = 255;
/** The same for a line that would otherwise exceed {@link MAX_LINE}. */
const SHORT_TEXT = 40;

/** How a line begins, in each form. */
export const LINE_BEGINS = ["time=", '{"time":'] as const;

export type AccessLogFormat = "text" | "json";

/** Returns the line without its newline, of less than {@link MAX_LINE} bytes. */
export function accessLine(record: AccessRecord, format: AccessLogFormat): string {
  const write = (maxText: number) =>
    format === "json" ? jsonLine(record, maxText) : fieldsText(record, FIELDS, maxText);
  const line = write(MAX_TEXT);
  return Buffer.byteLength(line) < MAX_LINE ? line : write(SHORT_TEXT);
}

/** Returns the members of a record that are known, with the time as in a line. */
export function knownFields(
  record: AccessRecord,
  maxText = MAX_TEXT,
): Record<string, string | number | boolean> {
  const found: Record<string, string | number | boolean> = {};
  for (const name of FIELDS) {
    const value = record[name];
    if (value === undefined) continue;
    if (name === "time") found[name] = new Date(value as number).toISOString();
    else found[name] = typeof value === "string" ? shortText(value, maxText) : value;
  }
  return found;
}

/** Returns `name=value` for these fields, separated by spaces, `-` for those that are not known. */
export function fieldsText(
  record: AccessRecord,
  names: readonly (keyof AccessRecord)[] = FIELDS,
  maxText = MAX_TEXT,
): string {
  const known = knownFields(record, maxText);
  return names.map((name) => `${name}=${valueText(known[name])}`).join(" ");
}

function jsonLine(record: AccessRecord, maxText: number): string {
  return escapedJson(JSON.stringify(knownFields(record, maxText)));
}

function valueText(value: string | number | boolean | undefined): string {
  if (value === undefined) return "-";
  if (typeof value !== "string") return String(value);
  return PLAIN.test(value) && value !== "-" ? value : escapedJson(JSON.stringify(value));
}

/** Texts that need no quotes. */
const PLAIN = /^[\w.:/@+*[\]%,;~!#$&()-]+$/;

/** Returns a text that a stranger chose, cut to `max` characters. */
export function shortText(text: string, max = MAX_TEXT): string {
  return text.length > max ? `${text.slice(0, max)}…` : text;
}
