/**
 * stud's form of a configuration file: one `key = value` on a line. The value is what stands before
 * the next space, so that a remark may follow, or what stands between quotes; a list may have spaces.
 */
import { type Assignment, fileOrigin, type FilePlace, syntaxError } from "./assignment.ts";
import type { Dialect } from "../base/dialect.ts";
import { namesIn, optionOf } from "./table.ts";
import { unknownKey } from "./unknown_key.ts";

/** What a file says; `problems` and `warnings` are single lines. */
export interface FileReading {
  readonly assignments: Assignment[];
  readonly problems: string[];
  readonly warnings: string[];
  /** The rest of the file could not be read. */
  isCut: boolean;
}

/** Reads a file's text; every line that is wrong is a problem of its own. */
export function readLines(text: string, file: string, dialect: Dialect): FileReading {
  const reading: FileReading = { assignments: [], problems: [], warnings: [], isCut: false };
  const source = { kind: "file", strict: false } as const;
  const keys = namesIn("file", dialect);
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.replace(/\r$/, "");
    if (/^\s*(#|$)/.test(line)) continue;
    const place = (column: number): FilePlace => ({
      file,
      line: index + 1,
      column: column + 1,
      text: line,
    });
    const [head, indent, key] = /^(\s*)([A-Za-z][A-Za-z0-9-]*)\s*=\s*/.exec(line) ?? [];
    if (head === undefined || key === undefined) {
      const column = line.search(/\S/);
      reading.problems.push(syntaxError(place(column), "expected KEY = VALUE", dialect));
      continue;
    }
    const name = keys.get(key);
    if (!name) {
      const problem = unknownKey(key, keys, undefined);
      reading.problems.push(syntaxError(place(indent!.length), problem, dialect));
      continue;
    }
    const { form } = optionOf(name);
    const { value, rest } = splitValue(
      line.slice(head.length),
      form === "list" || form === "protocols",
    );
    if (rest !== "") {
      const column = line.length - rest.length;
      const remark = "what follows the value is not used; put a # before it, or quote the value";
      reading.warnings.push(syntaxError(place(column), `${key}: ${remark}`, "stud"));
    }
    const origin = fileOrigin(source, place(head.length), key, dialect);
    reading.assignments.push({ name, value, origin });
  }
  return reading;
}

/** The value without quotes, and what stands after it other than a remark. */
function splitValue(text: string, isList: boolean): { value: string; rest: string } {
  const [, quoted, after] = /^"([^"]*)"(.*)$/.exec(text) ?? [];
  if (quoted !== undefined) return { value: quoted, rest: withoutRemark(after!) };
  if (isList) return { value: bare(text.replace(/\s#.*|^#.*/, "")), rest: "" };
  const word = /^\S*/.exec(text)![0];
  return { value: bare(word), rest: withoutRemark(text.slice(word.length)) };
}

function bare(text: string): string {
  return text.replaceAll(/^["'\s]+|["'\s]+$/g, "");
}

function withoutRemark(text: string): string {
  const rest = text.trimStart();
  return rest.startsWith("#") || /^[;,]?\s*(#.*)?$/.test(rest) ? "" : rest;
}
