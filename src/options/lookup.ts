/** Looks up options of another process, or of a file, without judging the rest. */
import type { Dialect } from "../base/dialect.ts";
import type { Assignment } from "./assignment.ts";
import { type CommandLine, getopt, type GivenOption } from "./getopt.ts";
import { readConfigFile, type ReadText } from "./read_file.ts";
import type { OptionName } from "./table.ts";

/** The last value of each option as a user wrote it, and what could not be read. */
export interface Lookup {
  readonly values: ReadonlyMap<OptionName, string>;
  /** One line for each mistake, of which any may be the reason why a value is missing. */
  readonly problems: readonly string[];
}

/** Returns the options of a command line, in the order in which they apply: hitch reads files first. */
export function inOrder({ given }: CommandLine, dialect: Dialect): readonly GivenOption[] {
  const isFile = ({ name }: GivenOption) => name === "config";
  if (dialect === "stud") return given;
  return [...given.filter(isFile), ...given.filter((option) => !isFile(option))];
}

/** Looks options up in a command line and in the files that it names. */
export function lookUp(argv: readonly string[], named: Dialect, readText: ReadText): Lookup {
  const compat = getopt(argv, named).given.findLast(({ name }) => name === "compat")?.value;
  const dialect = compat === "stud" || compat === "hitch" ? compat : named;
  const line = getopt(argv, dialect);
  const values = new Map<OptionName, string>();
  const problems = [...line.problems];
  for (const { name, value } of inOrder(line, dialect)) {
    if (name === "config") {
      const parsed = readConfigFile(value, dialect, readText);
      problems.push(...parsed.problems);
      keep(parsed.assignments, values);
    } else if (value !== "") {
      values.set(name, value);
    }
  }
  return { values, problems };
}

/** Looks options up in a file of either dialect. */
export function lookUpInFile(path: string, readText: ReadText): Lookup {
  const dialects = ["stud", "hitch"] as const;
  const read = dialects.map((dialect) => readConfigFile(path, dialect, readText));
  // Both grammars agree on what they can read.
  const [best] = read.toSorted((a, b) => a.problems.length - b.problems.length);
  const values = new Map<OptionName, string>();
  keep(best!.assignments, values);
  return { values, problems: best!.problems };
}

/** An empty value in a file is the same as none. */
function keep(assignments: readonly Assignment[], into: Map<OptionName, string>): void {
  for (const { name, value } of assignments) {
    if (typeof value === "string" && value !== "") into.set(name, value);
  }
}
