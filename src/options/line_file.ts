/**
 * stud's configuration file grammar: one `key = value` per line. A value ends at the next space, so
 * that a comment may follow, or is enclosed in quotes; a list may contain spaces.
 */
import { type Assignment, fileOrigin, type FilePlace, syntaxError } from "./assignment.ts";
import type { Dialect } from "../base/dialect.ts";
import { namesIn, optionOf } from "./table.ts";
import { unknownKey } from "./unknown_key.ts";

/** The contents of a file; `problems` and `warnings` are single lines. */
export interface ParsedFile {
  readonly assignments: Assignment[];
  readonly problems: string[];
  readonly warnings: string[];
  /** A part of the file could not be parsed, so a missing option may be in it. */
  isPartial: boolean;
}

/** Parses a file's text; every invalid line is a separate problem. */
export function readLines(text: string, file: string, dialect: Dialect): ParsedFile {
  const parsed: ParsedFile = { assignments: [], problems: [], warnings: [], isPartial: false };
  const source = { kind: "file", strict: false } as const;
  const keys = namesIn("file", dialect);
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.replace(/\r$/, "");
    if (/^\s*(#|$)/.test(line)) continue;
    const place = (column: number): FilePlace => ({
      file,
      line: index + 1,
      column: column + 1,
    });
    const [head, indent, key] = /^(\s*)([A-Za-z][A-Za-z0-9-]*)\s*=\s*/.exec(line) ?? [];
    if (head === undefined || key === undefined) {
      const column = line.search(/\S/);
      parsed.problems.push(syntaxError(place(column), "expected KEY = VALUE", dialect));
      parsed.isPartial = true;
      continue;
    }
    const name = keys.get(key);
    if (!name) {
      const problem = unknownKey(key, keys, undefined);
      parsed.problems.push(syntaxError(place(indent!.length), problem, dialect));
      parsed.isPartial = true;
      continue;
    }
    const { form } = optionOf(name);
    const { value, rest } = splitValue(
      line.slice(head.length),
      form === "list" || form === "protocols",
    );
    if (rest !== "") {
      const column = line.length - rest.length;
      const warning = "what follows the value is ignored; put a # before it, or quote the value";
      parsed.warnings.push(syntaxError(place(column), `${key}: ${warning}`, "stud"));
    }
    const origin = fileOrigin(source, place(head.length), key, dialect);
    parsed.assignments.push({ name, value, origin });
  }
  return parsed;
}

/** Returns the value without quotes, and what follows it other than a comment. */
function splitValue(text: string, isList: boolean): { value: string; rest: string } {
  const [, quoted, after] = /^"([^"]*)"(.*)$/.exec(text) ?? [];
  if (quoted !== undefined) return { value: quoted, rest: withoutComment(after!) };
  if (isList) return { value: bare(text.replace(/\s#.*|^#.*/, "")), rest: "" };
  const word = /^\S*/.exec(text)![0];
  return { value: bare(word), rest: withoutComment(text.slice(word.length)) };
}

function bare(text: string): string {
  return text.replaceAll(/^["'\s]+|["'\s]+$/g, "");
}

function withoutComment(text: string): string {
  const rest = text.trimStart();
  return rest.startsWith("#") || /^[;,]?\s*(#.*)?$/.test(rest) ? "" : rest;
}
