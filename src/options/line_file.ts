/**
 * stud's configuration file grammar: one `key = value` per line. A value ends at the next space, so
 * that a comment may follow, or is enclosed in quotes; a list may contain spaces.
 */
import { type Assignment, fileOrigin, type FilePlace, syntaxError } from "./assignment.ts";
import type { Dialect } from "../base/dialect.ts";
import { namesIn, type OptionName, optionOf } from "./table.ts";
import { unknownKey } from "./unknown_key.ts";

/** The contents of a file; `problems` and `warnings` are single lines. */
export interface ParsedFile {
  readonly assignments: Assignment[];
  readonly problems: string[];
  readonly warnings: string[];
  /** A part of the file could not be parsed, so a missing option may be in it. */
  isPartial: boolean;
}

/** A file with this many lines of another form, and none of this one, is another kind of file. */
const FOREIGN_LINES = 3;

/** Parses a file's text; every invalid line is a separate problem. */
export function readLines(text: string, file: string, dialect: Dialect): ParsedFile {
  const parsed: ParsedFile = { assignments: [], problems: [], warnings: [], isPartial: false };
  const source = { kind: "file", strict: false } as const;
  const keys = namesIn("file", dialect);
  let foreign = 0;
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.replace(/\r$/, "");
    if (/^\s*(#|$)/.test(line)) continue;
    const place = (column: number): FilePlace => ({
      file,
      line: index + 1,
      column: column + 1,
    });
    const fail = (column: number, problem: string) => {
      parsed.problems.push(syntaxError(place(column), problem, dialect));
      parsed.isPartial = true;
    };
    const [head, indent, key] = /^(\s*)([A-Za-z][\w-]*)\s*=\s*/.exec(line) ?? [];
    if (head === undefined || key === undefined) {
      foreign++;
      fail(line.search(/\S/), `expected KEY = VALUE${remedyFor(line, keys)}`);
      continue;
    }
    const name = keys.get(key);
    if (!name) {
      fail(indent!.length, unknownKey(key, keys, undefined));
      continue;
    }
    const { form } = optionOf(name);
    const { value, rest, fault } = splitValue(
      line.slice(head.length),
      form === "list" || form === "protocols",
    );
    if (fault !== undefined) fail(head.length, `${key}: ${fault}`);
    if (rest !== "") {
      const column = line.length - rest.length;
      const warning = "what follows the value is ignored; put a # before it, or quote the value";
      parsed.warnings.push(syntaxError(place(column), `${key}: ${warning}`, "stud"));
    }
    const origin = fileOrigin(source, place(head.length), key, dialect);
    parsed.assignments.push({
      name,
      value,
      origin,
      ...(fault !== undefined && { isFaulty: true }),
    });
  }
  if (foreign < FOREIGN_LINES || parsed.assignments.length > 0) return parsed;
  // One line instead of one for each line of another program's file.
  const problem = "it is not a configuration file, which has lines of the form KEY = VALUE; " +
    "check the path";
  return { ...parsed, problems: [`${file}: ${problem}`] };
}

/** Says what is wrong with a line of another form; it quotes only the name of an option. */
function remedyFor(line: string, keys: ReadonlyMap<string, OptionName>): string {
  const [, dashes, key, rest = ""] = /^\s*(-*)([A-Za-z][\w-]*)(.*)$/.exec(line) ?? [];
  if (/^\s*\[[^\]]*\]\s*$/.test(line)) return "; there are no sections here; remove this line";
  if (key === undefined || !keys.has(key)) return "";
  if (dashes !== "") return `; write ${key} without the hyphens in front`;
  return rest.trim() === "" ? `; ${key} needs a value` : `; write = after ${key}`;
}

/** Returns the value without quotes, and what follows it other than a comment. */
function splitValue(
  text: string,
  isList: boolean,
): { value: string; rest: string; fault?: string } {
  const [, quoted, after] = /^"([^"]*)"(.*)$/.exec(text) ?? [];
  if (quoted !== undefined) return { value: quoted, rest: withoutComment(after!) };
  const [, single, afterSingle] = /^'([^']*)'(.*)$/.exec(text) ?? [];
  if (single !== undefined) return { value: bare(single), rest: withoutComment(afterSingle!) };
  const word = isList ? text.replace(/\s#.*|^#.*/, "") : /^\S*/.exec(text)![0];
  const rest = isList ? "" : withoutComment(text.slice(word.length));
  const value = word.trim();
  const [mark] = /^["']|["']$/.exec(value) ?? [];
  if (mark !== undefined) {
    const fault = value.startsWith(mark)
      ? `expected a ${mark} at the end of the value`
      : `expected a ${mark} in front of the value`;
    return { value: "", rest: "", fault };
  }
  if (/^[\u201c-\u201f\u2018-\u201b\u00ab\u2039]/.test(value)) {
    return { value: "", rest: "", fault: 'these are typographic quotes; use " instead' };
  }
  return { value, rest };
}

function bare(text: string): string {
  return text.replaceAll(/^["'\s]+|["'\s]+$/g, "");
}

function withoutComment(text: string): string {
  const rest = text.trimStart();
  return rest.startsWith("#") || /^[;,]?\s*(#.*)?$/.test(rest) ? "" : rest;
}
