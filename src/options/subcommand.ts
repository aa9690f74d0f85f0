/**
 * Commands, given as the first argument, as in `stud help tls` or `stud status`. Neither original has
 * them, so their arguments need not follow getopt_long's rules: `parseArgs` parses them.
 */
import { parseArgs } from "@std/cli/cli/parse_args.js";
import { parseDialect } from "../base/dialect.ts";
import { UsageError } from "../base/errors.ts";
import type { Command } from "./command_line.ts";
import { helpAbout, subcommandHelp } from "./help.ts";
import { isSubcommand, type SubcommandName, subcommandOf } from "./subcommands.ts";
import { ValueError } from "./values.ts";
import { nearest, quote, withoutCredentials } from "./words.ts";

/** What a user gave to one of the commands of the table. */
export interface Subcommand {
  readonly kind: "subcommand";
  readonly name: SubcommandName;
  /** Its argument; undefined for a command without one. */
  readonly argument: string | undefined;
  /** By the option's name; `Given` of this command. */
  readonly given: Readonly<Record<string, unknown>>;
}

/**
 * A command could not do its work, or its command line is wrong: exit code 2, since 1 is a result
 * for some of them.
 */
export class SubcommandError extends UsageError {
  readonly code = 2;
}

/** Parses a command; undefined if the first argument is none. Throws a UsageError. */
export function subcommand([name, ...words]: readonly string[]): Command | undefined {
  if (name === "help") return help(words);
  if (!isSubcommand(name)) return undefined;
  const parsed = parse(name, words);
  return parsed === "help" ? { kind: "help", text: subcommandHelp(name) } : parsed;
}

function help(argv: readonly string[]): Command {
  const problems: string[] = [];
  const { _: words, compat = "stud" } = parseArgs(argv, {
    string: ["_", "compat"],
    unknown(word, name) {
      if (name === undefined) return true;
      problems.push(
        `help: ${
          withoutCredentials(word)
        } is not an option of this command; use --compat, and words without dashes`,
      );
      return false;
    },
  });
  if (problems.length > 0) throw new UsageError(problems);
  const [about] = words;
  const text = words.length === 1 && isSubcommand(about)
    ? subcommandHelp(about)
    : helpAbout(words, parseDialect(withoutCredentials(compat as string)));
  return { kind: "help", text };
}

function parse(name: SubcommandName, argv: readonly string[]): Subcommand | "help" {
  const { options, argument: placeholder } = subcommandOf(name);
  const rows = Object.entries(options);
  const flags = rows.filter(([, { argument }]) => argument === undefined).map(([flag]) => flag);
  const texts = rows.filter(([, { argument }]) => argument !== undefined).map(([text]) => text);
  const problems = new Set<string>();
  const fail = (what: string, remedy = `run stud ${name} --help`) =>
    problems.add(`${name}: ${what}; ${remedy}`);
  const end = argv.indexOf("--");
  for (const word of end < 0 ? argv : argv.slice(0, end)) {
    const [, flag] = /^--(?:no-)?([^=]+)=/.exec(word) ?? [];
    if (flag !== undefined && flags.includes(flag)) {
      fail(`--${flag} takes no value`, "remove the = and what follows it");
    }
  }
  const { _: words, help, h: _short, ...values } = parseArgs(argv, {
    string: ["_", ...texts],
    boolean: ["help", ...flags],
    negatable: rows.filter(([, { isOn }]) => isOn).map(([flag]) => flag),
    alias: { h: "help" },
    unknown(word, key) {
      if (key === undefined) return true;
      const near = nearest(key, Object.keys(options));
      fail(
        `${quoted(word)} is not an option of this command`,
        near && `did you mean --${near}?`,
      );
      return false;
    },
  });
  if (help === true && problems.size === 0) return "help";
  const most = placeholder === undefined ? 0 : 1;
  if (words.length > most) {
    fail(`${quote(words[most]!)} is one argument too many`);
  } else if (words.length < most) {
    fail(`an argument ${placeholder} is missing`);
  }
  const given: Record<string, unknown> = {};
  for (const [option, { argument, parse }] of rows) {
    const value = values[option];
    if (argument === undefined) {
      if (argv.some((word) => word === `--${option}` || word === `--no-${option}`)) {
        given[option] = value;
      }
    } else if (value === "") {
      fail(`--${option} needs an argument ${argument}`);
    } else if (typeof value === "string") {
      try {
        given[option] = parse ? parse(value, "stud") : value;
      } catch (error) {
        if (!(error instanceof ValueError)) throw error;
        problems.add(`${name}: --${option}: ${error.message}`);
      }
    }
  }
  if (problems.size > 0) throw new SubcommandError([...problems]);
  return { kind: "subcommand", name, argument: words[0], given };
}

/** The word as typed; quoted and escaped if it has control or non-ASCII characters or spaces. */
function quoted(word: string): string {
  return /^[\x21-\x7e]+$/.test(word) ? withoutCredentials(word) : quote(word);
}
