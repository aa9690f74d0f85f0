/**
 * getopt_long's reading of a command line: bundles of short options, unique prefixes of long
 * ones, `--`, and options and positionals in any order. `parseArgs` has other rules for all of
 * these, so it is handed only what both read alike: `--name=value` words.
 */
import { parseArgs } from "@std/cli/cli/parse_args.js";
import { UsageError } from "../errors.ts";
import { type Option, type OptionName, rows } from "./table.ts";

export interface CommandLine {
  /** The options in the order of argv; a bare flag has the value `on`. */
  readonly given: readonly { readonly name: OptionName; readonly value: string }[];
  readonly positionals: readonly string[];
}

/** Reads the words after the program's name. Throws a UsageError that ends in a hint to `--help`. */
export function getopt(argv: readonly string[]): CommandLine {
  const { given, positionals } = readWords([...argv]);
  const names = given.map(({ name }) => name);
  const normalised = given.map(({ name, value }) => `--${name}=${value}`);
  const parsed = parseArgs([...normalised, "--", ...positionals], {
    string: [...names, "_"],
    collect: names,
  });
  return {
    given: names.map((name) => ({ name, value: parsed[name]!.shift()! })),
    positionals: parsed._,
  };
}

/** Empties `words`. */
function readWords(words: string[]): CommandLine {
  const given: { name: OptionName; value: string }[] = [];
  const positionals: string[] = [];
  const take = ([name, option]: Row, typed: string, attached: string | undefined) =>
    given.push({ name, value: valueOf(option, typed, attached, words) });
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === "--") {
      positionals.push(...words.splice(0));
    } else if (word.startsWith("--")) {
      const [, name, attached] = /^--([^=]*)(?:=(.*))?$/s.exec(word)!;
      const row = longOption(name!);
      take(row, `--${row[0]}`, attached);
    } else if (word.startsWith("-") && word !== "-") {
      for (let rest = word.slice(1); rest !== "";) {
        const letter = String.fromCodePoint(rest.codePointAt(0)!);
        const row = shortOption(letter);
        rest = rest.slice(letter.length);
        const attached = row[1].argument && rest !== "" ? rest : undefined;
        take(row, `-${letter}`, attached);
        if (attached !== undefined) break;
      }
    } else {
      positionals.push(word);
    }
  }
  return { given, positionals };
}

type Row = readonly [OptionName, Option];

const hint = "run stud --help";

/** The attached value, or what stands for it; an argument takes the next word, whatever it is. */
function valueOf(
  option: Option,
  typed: string,
  attached: string | undefined,
  words: string[],
): string {
  if (option.argument) {
    const value = attached ?? words.shift();
    if (value !== undefined) return value;
    throw new UsageError(`${typed} needs an argument ${option.argument}; ${hint}`);
  }
  if (attached === undefined || option.optional) return attached ?? "on";
  throw new UsageError(
    `${typed} takes no value; leave out ${JSON.stringify(`=${attached}`)}, or ${hint}`,
  );
}

function shortOption(letter: string): Row {
  const row = rows.find(([, option]) => option.short === letter);
  if (row) return row;
  throw new UsageError(`${shown(`-${letter}`)} is not an option; ${hint}`);
}

function longOption(name: string): Row {
  const candidates = rows.filter(([known]) => name !== "" && known.startsWith(name));
  const row = rows.find(([known]) => known === name) ??
    (candidates.length === 1 ? candidates[0] : undefined);
  if (row) return row;
  const typed = shown(`--${name}`);
  if (candidates.length > 1) {
    const list = candidates.map(([known]) => `--${known}`).join(", ");
    throw new UsageError(`${typed} is ambiguous: ${list}; write one in full, or ${hint}`);
  }
  const near = nearest(name);
  const question = near ? `did you mean --${near}? If not, ` : "";
  throw new UsageError(`${typed} is not an option; ${question}${hint}`);
}

/** As typed, but on one line and without control characters. */
function shown(word: string): string {
  return /^[\x21-\x7e]+$/.test(word) ? word : JSON.stringify(word);
}

/** The option whose name is a typing mistake away: at most one edit in three letters. */
function nearest(name: string): string | undefined {
  const [best] = rows
    .map(([known]) => ({ known, edits: editDistance(name.slice(0, 40), known) }))
    .sort((a, b) => a.edits - b.edits);
  return best && best.edits <= Math.min(3, name.length / 3) ? best.known : undefined;
}

/** Levenshtein's distance, by the rows of its matrix. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
