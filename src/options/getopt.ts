/**
 * Parses a command line by the rules of getopt_long(3): bundled short options, unique prefixes of
 * long ones, `--`, values that begin with a dash, and options and positionals in any order. Only
 * these rules accept the command lines of both stud and hitch.
 */
import type { Dialect } from "../base/dialect.ts";
import type { Option } from "./option.ts";
import { foreignRemedy, isForeignFile } from "./foreign_options.ts";
import { isIn, namesIn, namesOf, type OptionName, optionOf, rows } from "./table.ts";
import { nearest, withoutCredentials } from "./words.ts";

export interface CommandLine {
  /**
   * The options in the order of argv, with the number of the argument, from 1; a flag without a
   * value has `on`.
   */
  readonly given: readonly GivenOption[];
  readonly positionals: readonly string[];
  /** One line for each error in the arguments, ending in a hint to `--help`. */
  readonly problems: readonly string[];
}

export interface GivenOption {
  readonly name: OptionName;
  readonly value: string;
  readonly place: number;
}

/** Parses the arguments without the program's name. */
export function getopt(argv: readonly string[], dialect: Dialect): CommandLine {
  return new ArgumentParser(argv, dialect).read();
}

class ArgumentParser {
  readonly #words: string[];
  readonly #dialect: Dialect;
  readonly #names: ReadonlyMap<string, OptionName>;
  readonly #given: GivenOption[] = [];
  readonly #positionals: string[] = [];
  readonly #problems: string[] = [];
  readonly #count: number;
  #place = 0;

  constructor(argv: readonly string[], dialect: Dialect) {
    this.#words = [...argv];
    this.#count = argv.length;
    this.#dialect = dialect;
    this.#names = namesIn("line", dialect);
  }

  read(): CommandLine {
    for (let word = this.#words.shift(); word !== undefined; word = this.#words.shift()) {
      this.#place = this.#count - this.#words.length;
      if (word === "--") this.#positionals.push(...this.#words.splice(0));
      else if (word.startsWith("--")) this.#readLong(word);
      else if (word.startsWith("-") && word !== "-") this.#readShort(word);
      else if (/^[\u2010-\u2015\u2212]/.test(word)) {
        this.#fail(`${shown(word)} starts with a dash that is not a hyphen; type - or -- instead`);
      } else this.#positionals.push(word);
    }
    return { given: this.#given, positionals: this.#positionals, problems: this.#problems };
  }

  #readLong(word: string): void {
    const [, typed, attached] = /^--([^=]*)(?:=(.*))?$/s.exec(word)!;
    const name = this.#longOption(typed!);
    if (name) this.#take(name, `--${namesOf(name, this.#dialect)[0]}`, attached);
    // The next word may be its value, possibly a password, and is no file then.
    else if (attached === undefined && !this.#words[0]?.startsWith("-")) this.#words.shift();
  }

  /** `-config FILE` would be `-c onfig`, a list of ciphers. */
  #readShort(word: string): void {
    const [, typed] = /^-([^=]{3,})/.exec(word) ?? [];
    if (typed === undefined || !this.#names.has(typed)) return this.#readBundle(word.slice(1));
    this.#fail(`-${typed} has only one hyphen; write --${typed}`);
    if (optionOf(this.#names.get(typed)!).argument && !word.includes("=")) this.#words.shift();
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
      if (value !== undefined) this.#given.push({ name, value, place: this.#place });
      else this.#fail(`${typed} needs an argument ${option.argument}`);
    } else if (attached === undefined || option.form === "flag") {
      this.#given.push({ name, value: attached ?? "on", place: this.#place });
    } else {
      this.#fail(`${typed} takes no value; remove the = and what follows it`);
    }
  }

  #longOption(typed: string): OptionName | undefined {
    const exact = this.#names.get(typed);
    if (exact) return exact;
    // --cert FILE is a common mistake, and no number of days.
    const candidates = typed === "" || isForeignFile(typed)
      ? []
      : [...this.#names].filter(([known]) => known.startsWith(typed));
    const meant = new Set(candidates.map(([, name]) => name));
    if (meant.size === 1) return candidates[0]![1];
    const word = shown(`--${typed}`);
    if (meant.size > 1) {
      const list = candidates.map(([known]) => `--${known}`).join(", ");
      this.#fail(`${word} is ambiguous: ${list}; write the name in full`);
    } else {
      const near = nearest(typed, [...this.#names.keys()]);
      const remedy = foreignRemedy(typed) ?? (near && `did you mean --${near}?`);
      this.#fail(`${word} is not an option${remedy ? `; ${remedy}` : ""}`);
    }
    return undefined;
  }

  #fail(problem: string): void {
    const hint = problem.includes("; ") ? "" : "; run stud --help";
    this.#problems.push(
      this.#dialect === "stud"
        ? `${problem}${hint}`
        : `Invalid command line parameters. Run hitch --help for instructions. ${problem}`,
    );
  }
}

/** The word as typed; quoted and escaped if it has control or non-ASCII characters or spaces. */
function shown(typed: string): string {
  const word = withoutCredentials(typed);
  return /^[\x21-\x7e]+$/.test(word) ? word : JSON.stringify(word);
}
