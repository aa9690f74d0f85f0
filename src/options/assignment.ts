/** The common form of what the command line and files contain. */
import type { Dialect } from "../base/dialect.ts";
import { namesOf, type OptionName } from "./table.ts";

/** One option as given; in a file its value may be a block of assignments. */
export interface Assignment {
  readonly name: OptionName;
  /** A fault in the value, or in its block, was reported: it is given, but unusable. */
  readonly isFaulty?: true;
  readonly value: string | readonly Assignment[];
  readonly origin: Origin;
}

/** Where an option was given. */
export interface Origin {
  /** The same object for everything from one file, or from the command line. */
  readonly source: Source;
  /** The option, with its place in a file: `--workers`, or `stud.conf:3:11: workers`. */
  readonly label: string;
  /** The place within its source: `argument 2`, or `line 3`. */
  readonly place: string;
  /** Returns one line with place and problem; `original` is hitch's own text, for its dialect. */
  message(what: string, original?: string): string;
}

export interface Source {
  readonly kind: "line" | "file";
  /** Two options that exclude each other are an error; otherwise the last one applies. */
  readonly strict: boolean;
}

const lineSource: Source = { kind: "line", strict: true };

/** Returns the origin of an option on the command line; `place` is the argument's number, from 1. */
export function commandLineOrigin(name: OptionName, dialect: Dialect, place: number): Origin {
  const [shown] = namesOf(name, dialect);
  return {
    source: lineSource,
    label: `--${shown}`,
    place: `argument ${place}`,
    message: (what, original) => {
      if (dialect === "stud") return `--${shown}: ${what}`;
      return `Invalid parameter '${shown}': ${original === undefined ? "" : `${original} `}${what}`;
    },
  };
}

/**
 * A place in a configuration file; lines and columns count from 1. Errors name the place and never
 * quote the line, since any line can contain a password or a part of a key.
 */
export interface FilePlace {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** Returns the origin of a key in a file. */
export function fileOrigin(
  source: Source,
  place: FilePlace,
  key: string,
  dialect: Dialect,
): Origin {
  const { file, line } = place;
  const label = `${pointer(place)}: ${key}`;
  return {
    source,
    label,
    place: `line ${line}`,
    message: (what, original) => {
      const ours = `${label}: ${what}`;
      if (dialect === "stud") return ours;
      const words = original === undefined ? "" : `${original} `;
      return `Error in configuration file '${file}', line ${line}: ${words}${ours}`;
    },
  };
}

/** Returns the error message for a syntax error in a file, as one line. */
export function syntaxError(place: FilePlace, what: string, dialect: Dialect): string {
  const where = pointer(place);
  if (dialect === "stud") return `${where}: ${what}`;
  return `Parsing error in line ${place.line}: syntax error: ${where}: ${what}`;
}

function pointer({ file, line, column }: FilePlace): string {
  return `${file}:${line}:${column}`;
}
