/**
 * Parses a command line by the rules of getopt_long(3): bundled short options, unique prefixes of
 * long ones, `--`, values that begin with a dash, and options and positionals in any order. Only
 * these rules accept the command lines of both stud and hitch.
 */
import type { Dialect } from "../base/dialect.ts";
import type { Option } from "./option.ts";
import { isIn, namesIn, namesOf, type OptionName, optionOf, rows } from "./table.ts";
import { nearest } from "./words.ts";

export interface CommandLine {
  /** The options in the order of argv; a flag without a value has `on`. */
  readonly given: readonly { readonly name: OptionName; readonly value: string }[];
  readonly positionals: readonly string[];
  /** One line for each error in the arguments, ending in a hint to `--help`. */
  readonly problems: readonly string[];
}

/** Parses the arguments without the program's name. */
export function getopt(argv: readonly string[], dialect: Dialect): CommandLine {
  return new ArgumentParser(argv, dialect).read();
}

class ArgumentParser {
  readonly #words: string[];
  readonly #dialect: Dialect;
  readonly #names: ReadonlyMap<string, OptionName>;
  readonly #given: { name: OptionName; value: string }[] = [];
  readonly #positionals: string[] = [];
  readonly #problems: string[] = [];

  constructor(argv: readonly string[], dialect: Dialect) {
    this.#words = [...argv];
    this.#dialect = dialect;
    this.#names = namesIn("line", dialect);
  }

  read(): CommandLine {
    for (let word = this.#words.shift(); word !== undefined; word = this.#words.shift()) {
      if (word === "--") this.#positionals.push(...this.#words.splice(0));
      else if (word.startsWith("--")) this.#readLong(word);
      else if (word.startsWith("-") && word !== "-") this.#readBundle(word.slice(1));
      else this.#positionals.push(word);
    }
    return { given: this.#given, positionals: this.#positionals, problems: this.#problems };
  }

  #readLong(word: string): void {
    const [, typed, attached] = /^--([^=]*)(?:=(.*))?$/s.exec(word)!;
    const name = this.#longOption(typed!);
    if (name) this.#take(name, `--${namesOf(name, this.#dialect)[0]}`, attached);
  }

  #readBundle(letters: string): void {
    for (let rest = letters; rest !== "";) {
      const letter = String.fromCodePoint(rest.codePointAt(0)!);
      const [name, option] = rows.find(([, option]) => option.short === letter) ?? [];
      rest = rest.slice(letter.length);
      if (!name || !option || !isIn(option, "line")) {
        this.#fail(`${shown(`-${letter}`)} is not an option`);
        continue;
      }
      const attached = option.argument && rest !== "" ? rest : undefined;
      this.#take(name, `-${letter}`, attached);
      if (attached !== undefined) return;
    }
  }

  /** Takes the attached value, else the next word, whatever it is, else a flag's `on`. */
  #take(name: OptionName, typed: string, attached: string | undefined): void {
    const option: Option = optionOf(name);
    if (option.argument) {
      const value = attached ?? this.#words.shift();
      if (value !== undefined) this.#given.push({ name, value });
      else this.#fail(`${typed} needs an argument ${option.argument}`);
    } else if (attached === undefined || option.form === "flag") {
      this.#given.push({ name, value: attached ?? "on" });
    } else {
      this.#fail(`${typed} takes no value; remove ${JSON.stringify(`=${attached}`)}`);
    }
  }

  #longOption(typed: string): OptionName | undefined {
    const exact = this.#names.get(typed);
    if (exact) return exact;
    const candidates = typed === ""
      ? []
      : [...this.#names].filter(([known]) => known.startsWith(typed));
    const meant = new Set(candidates.map(([, name]) => name));
    if (meant.size === 1) return candidates[0]![1];
    const word = shown(`--${typed}`);
    if (meant.size > 1) {
      const list = candidates.map(([known]) => `--${known}`).join(", ");
      this.#fail(`${word} is ambiguous: ${list}; write one in full`);
    } else {
      const near = nearest(typed, [...this.#names.keys()]);
      this.#fail(`${word} is not an option${near ? `; did you mean --${near}?` : ""}`);
    }
    return undefined;
  }

  #fail(problem: string): void {
    const link = problem.endsWith("?") ? " If not," : problem.includes("; ") ? ", or" : ";";
    this.#problems.push(
      this.#dialect === "stud"
        ? `${problem}${link} run stud --help`
        : `Invalid command line parameters. Run hitch --help for instructions. ${problem}`,
    );
  }
}

/** The word as typed; quoted and escaped if it has control or non-ASCII characters or spaces. */
function shown(word: string): string {
  return /^[\x21-\x7e]+$/.test(word) ? word : JSON.stringify(word);
}
