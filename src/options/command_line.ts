import { resolve } from "node:path";
import { UsageError } from "../base/errors.ts";
import { type Assignment, commandLineOrigin } from "./assignment.ts";
import type { Build } from "./builds.ts";
import { contradictions } from "./checks.ts";
import type { Config } from "./config.ts";
import { type Dialect, parseDialect } from "../base/dialect.ts";
import { defaultConfig } from "./default_config.ts";
import { collect, type Collected, exclusive } from "./collect.ts";
import { type CommandLine, getopt } from "./getopt.ts";
import { helpText, subcommandHelp } from "./help.ts";
import { inOrder } from "./lookup.ts";
import { readConfigFile } from "./read_file.ts";
import { type Places, placesOf } from "./places.ts";
import { type OptionName, optionOf } from "./table.ts";
import { checkNeeds } from "./needs.ts";
import { type Subcommand, subcommand } from "./subcommand.ts";
import { isSubcommand } from "./subcommands.ts";
import { toConfig } from "./to_config.ts";
import { bounded, isConfigName, withoutCredentials } from "./words.ts";

/** What the command line requests. */
export type Command =
  | {
    readonly kind: "run" | "test" | "demo";
    readonly config: Config;
    /** Single lines to show before the start. */
    readonly warnings: readonly string[];
    /**
     * What is wrong with the settings, so that only other checks may use the configuration. Empty
     * except for `test`, which reports all mistakes at once.
     */
    readonly problems: readonly string[];
    /** The options that were given, in whatever place, blocks included. */
    readonly given: ReadonlySet<OptionName>;
    readonly places: Places;
    /** The absolute paths of the configuration files that were read. */
    readonly files: readonly string[];
  }
  /** `usage` is hitch's reaction to an empty command line: help, and exit code 1. */
  | { readonly kind: "help" | "usage"; readonly text: string }
  | {
    readonly kind: "default-config";
    readonly text: string;
    readonly warnings: readonly string[];
  }
  | { readonly kind: "version" | "new-ticket-secret" }
  | Subcommand;

/** The context in which a command line is parsed. */
export interface CommandLineContext {
  /** From the name under which the program was started; `--compat` overrides it. */
  readonly dialect: Dialect;
  /** Returns the text of a configuration file; `-` is standard input. Throws a FileError. */
  readonly readFile: (path: string) => string;
  /** Absolute; the base of relative paths. */
  readonly workingDirectory: string;
  /** Returns what a path is or lacks if it is no directory, such as `is not a directory`. */
  readonly directoryFault: (path: string) => string | undefined;
}

/**
 * Parses the arguments, and the configuration files that they name. `--help` and `--version` take
 * precedence over errors in values and files; `--default-config` shows all values that are given.
 * Throws a UsageError with all errors, and everything that the running build does not support.
 */
export function parseCommandLine(
  argv: readonly string[],
  build: Build,
  context: CommandLineContext,
): Command {
  const command = context.dialect === "stud" ? subcommand(argv) : undefined;
  if (command) return command;
  const dialect = dialectOf(argv, context);
  if (dialect === "hitch" && argv.length === 0) return { kind: "usage", text: helpText(dialect) };
  const line = getopt(argv, dialect);
  const first = line.given.findIndex(({ name }) =>
    name === "help" || name === "version" || name === "default-config" ||
    name === "new-ticket-secret"
  );
  const action = line.given[first]?.name;
  if (line.problems.length === 0 && action === "new-ticket-secret") {
    const others = line.given.filter(({ name }) => name !== action && name !== "compat");
    if (others.length + line.positionals.length === 0) return { kind: action };
    throw new UsageError(
      "--new-ticket-secret: it prints a secret and takes no other arguments; remove them, and " +
        "redirect standard output to a file",
    );
  }
  if (line.problems.length === 0 && action === "version") return { kind: action };
  if (line.problems.length === 0 && action === "help") {
    const [word] = line.positionals;
    // `stud --help status`; a PEM file called so would not have changed the help.
    const isAbout = dialect === "stud" && line.positionals.length === 1 && isSubcommand(word);
    return { kind: action, text: isAbout ? subcommandHelp(word) : helpText(dialect) };
  }
  const reader = new Reader(dialect, build, context, line.problems);
  const collected = reader.read(line);
  const kind = reader.kind(line);
  if (action === "default-config") {
    if (kind !== "run") reader.problems.push(exclusive("--default-config", `--${kind}`));
    reader.refuse();
    const { warnings } = reader;
    return { kind: action, text: defaultConfig(collected.settings, dialect), warnings };
  }
  const config = reader.config(collected, kind === "demo");
  if (kind !== "test") reader.refuse();
  const problems = new UsageError([...new Set(reader.problems)]).problems;
  return {
    ...{ kind, config, warnings: reader.warnings, problems },
    given: new Set([collected, ...collected.blocks.values()].flatMap(({ origins }) => [
      ...origins.keys(),
    ])),
    files: reader.files,
    places: placesOf(collected, dialect, (path) => resolve(context.workingDirectory, path)),
  };
}

function dialectOf(argv: readonly string[], { dialect }: CommandLineContext): Dialect {
  const { value } = getopt(argv, dialect).given.findLast(({ name }) => name === "compat") ?? {};
  return value === undefined ? dialect : parseDialect(withoutCredentials(value));
}

class Reader {
  readonly warnings: string[] = [];
  readonly problems: string[];
  /** The configuration files read so far, as absolute paths. */
  readonly files: string[] = [];
  readonly #dialect: Dialect;
  readonly #build: Build;
  readonly #context: CommandLineContext;
  #isComplete: boolean;
  #isInputRead = false;

  constructor(
    dialect: Dialect,
    build: Build,
    context: CommandLineContext,
    problems: readonly string[],
  ) {
    this.#dialect = dialect;
    this.#build = build;
    this.#context = context;
    this.problems = [...problems];
    // What an unknown option was meant to set is not missing.
    this.#isComplete = problems.length === 0;
  }

  /** In the order of argv for stud; for hitch all files first. PEM arguments are last for both. */
  read(line: CommandLine): Collected {
    const { given, positionals } = line;
    const assigned = inOrder(line, this.#dialect).flatMap(
      ({ name, value, place }): readonly Assignment[] => {
        if (name === "config") return this.#file(value);
        if (optionOf(name).form === "action") return [];
        return [{ name, value, origin: commandLineOrigin(name, this.#dialect, place) }];
      },
    );
    const origin = commandLineOrigin("pem-file", this.#dialect, 0);
    const pems = positionals.map((value): Assignment => ({ name: "pem-file", value, origin }));
    const assignments = [...assigned, ...pems];
    const faults: string[] = [];
    const repetitions: string[] = [];
    const collected = collect(assignments, this.#dialect, faults, repetitions);
    this.warnings.push(...bounded(repetitions, "values"));
    this.problems.push(...bounded(faults, "values"));
    this.problems.push(...contradictions(collected, this.#dialect));
    // What a file sets that was given to a wrong option, such as -c, is not missing.
    this.#isComplete &&= !given.some(({ name, value }) =>
      name !== "config" && collected.rejected.has(name) && isConfigName(value)
    );
    return collected;
  }

  kind({ given }: CommandLine): "run" | "test" | "demo" {
    const names = given.map(({ name }) => name);
    if (names.includes("test") && names.includes("demo")) {
      this.problems.push(exclusive("--test", "--demo"));
    }
    if (names.includes("demo")) return "demo";
    return names.includes("test") ? "test" : "run";
  }

  config(collected: Collected, isDemo: boolean): Config {
    const notes = { problems: this.problems, warnings: this.warnings };
    checkNeeds(collected, this.#dialect, this.#build, notes);
    const { workingDirectory, directoryFault } = this.#context;
    const faults: string[] = [];
    const config = toConfig(collected, {
      dialect: this.#dialect,
      build: this.#build,
      absolute: (path = "") => path === "" ? "" : resolve(workingDirectory, path),
      directoryFault,
      isComplete: this.#isComplete,
      generatesCertificate: isDemo,
      problems: faults,
      warnings: this.warnings,
    });
    this.problems.push(...bounded(faults, "settings"));
    return config;
  }

  /** Throws a UsageError if there are problems. */
  refuse(): void {
    if (this.problems.length > 0) throw new UsageError([...new Set(this.problems)]);
  }

  #file(path: string): readonly Assignment[] {
    const isInput = path === "-" || path === "";
    if (isInput && this.#isInputRead) {
      this.problems.push("--config: standard input can be read only once; remove one -");
      return [];
    }
    this.#isInputRead ||= isInput;
    const { readFile, workingDirectory } = this.#context;
    if (!isInput) this.files.push(resolve(workingDirectory, path));
    const parsed = readConfigFile(path, this.#dialect, readFile);
    this.problems.push(...parsed.problems);
    this.warnings.push(...parsed.warnings);
    this.#isComplete &&= !parsed.isPartial;
    return parsed.assignments;
  }
}
