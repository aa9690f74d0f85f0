/**
 * Commands, given as the first argument, as in `stud help tls`. Neither original has them, so their
 * arguments need not follow getopt_long's rules: `parseArgs` parses them.
 */
import { parseArgs } from "@std/cli/cli/parse_args.js";
import { parseDialect } from "../base/dialect.ts";
import { UsageError } from "../base/errors.ts";
import type { Command } from "./command_line.ts";
import { helpAbout } from "./help.ts";
import { withoutCredentials } from "./words.ts";

/** Parses a command; undefined if the first argument is none. Throws a UsageError. */
export function subcommand([name, ...words]: readonly string[]): Command | undefined {
  if (name === "check") return { kind: name, words };
  return name === "help" ? help(words) : undefined;
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
  return {
    kind: "help",
    text: helpAbout(words, parseDialect(withoutCredentials(compat as string))),
  };
}
