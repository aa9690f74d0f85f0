/** hitch's configuration file grammar: `key = value` in any layout, and blocks in braces. */
import {
  type Assignment,
  fileOrigin,
  type FilePlace,
  type Source,
  syntaxError,
} from "./assignment.ts";
import { type Token, tokens } from "./block_lexer.ts";
import type { Dialect } from "../base/dialect.ts";
import type { ParsedFile } from "./line_file.ts";
import type { Option } from "./option.ts";
import { namesIn, type OptionName, optionOf } from "./table.ts";
import { unknownKey } from "./unknown_key.ts";

/**
 * Parses a file's text. Unknown keys and values of a wrong type are reported and skipped; parsing
 * stops at the first syntax error.
 */
export function readBlocks(text: string, file: string, dialect: Dialect): ParsedFile {
  return new BlockFile(text, file, dialect).read();
}

type Block = "frontend" | "pem";

/** Stops parsing. */
class ParsingStopped extends Error {}

class BlockFile {
  readonly #file: string;
  readonly #dialect: Dialect;
  readonly #tokens: readonly Token[];
  readonly #source: Source = { kind: "file", strict: true };
  readonly #parsed: ParsedFile = { assignments: [], problems: [], warnings: [], isPartial: false };
  #next = 0;

  constructor(text: string, file: string, dialect: Dialect) {
    this.#file = file;
    this.#dialect = dialect;
    this.#tokens = tokens(text);
  }

  read(): ParsedFile {
    try {
      const { assignments } = this.#parsed;
      this.#parsed.isPartial = !this.#readRecords(undefined, assignments);
    } catch (error) {
      if (!(error instanceof ParsingStopped)) throw error;
      this.#parsed.isPartial = true;
    }
    return this.#parsed;
  }

  /**
   * Adds to `found`, which keeps what was read before a syntax error. Returns false if a key is
   * missing, because it is unknown.
   */
  #readRecords(block: Block | undefined, found: Assignment[]): boolean {
    let isComplete = true;
    const keys = namesIn(block ?? "file", this.#dialect);
    for (;;) {
      const key = this.#take();
      if (key.kind === (block ? "}" : "end")) {
        if (!block || found.length > 0 || !isComplete) return isComplete;
        this.#report(key, "expected a key before the }");
        return false;
      }
      if (key.kind !== "bare") {
        this.#break(key, block && key.kind === "end" ? "expected a }" : "expected a key");
      }
      const name = keys.get(key.text);
      const sign = this.#take();
      if (sign.kind !== "=") {
        if (name) this.#break(sign, `expected a = after ${key.text}`);
        this.#break(key, "expected KEY = VALUE");
      }
      if (!name) {
        this.#report(key, unknownKey(key.text, keys, block));
        isComplete = false;
      }
      const assignment = this.#value(key, name);
      if (assignment) found.push(assignment);
      while (this.#peek().kind === "separator") this.#take();
    }
  }

  /** Returns undefined for the value of an unknown key. */
  #value(key: Token, name: OptionName | undefined): Assignment | undefined {
    const first = this.#take();
    const form = name && optionOf(name).form;
    if (first.kind === "{") {
      if (name && (form === "frontend" || form === "pem")) {
        const inside: Assignment[] = [];
        const isComplete = this.#readRecords(form, inside);
        const isFaulty = !isComplete || inside.some((assignment) => assignment.isFaulty);
        return this.#assignment(name, key, first, inside, isFaulty);
      }
      if (name) this.#report(first, `expected a value for ${key.text}, which takes no block`);
      this.#skipBlock(first);
      return name && this.#assignment(name, key, first, "", true);
    }
    if (first.kind !== "bare" && first.kind !== "string") {
      this.#break(first, `expected a value for ${name ? key.text : "this key"}`);
    }
    const words = [first];
    while (this.#isVersion(first) && this.#continues()) words.push(this.#take());
    if (!name || !form) return undefined;
    const fault = typeFault(optionOf(name), words, key.text);
    if (fault) this.#report(first, `${key.text}: ${fault}`);
    const value = words.map(({ text }) => text).join(" ");
    return this.#assignment(name, key, first, fault ? "" : value, fault !== undefined);
  }

  /** True if the next token continues a list of TLS versions. */
  #continues(): boolean {
    while (this.#peek().kind === "separator") this.#take();
    return this.#isVersion(this.#peek());
  }

  #isVersion({ kind, text }: Token): boolean {
    return kind === "bare" && /^(TLSv1\.\d|SSLv\d)$/i.test(text);
  }

  #assignment(
    name: OptionName,
    key: Token,
    at: Token,
    value: Assignment["value"],
    isFaulty: boolean,
  ): Assignment {
    const origin = fileOrigin(this.#source, this.#place(at), key.text, this.#dialect);
    return { name, value, origin, ...(isFaulty && { isFaulty }) };
  }

  #skipBlock(opening: Token): void {
    for (let depth = 1; depth > 0;) {
      const { kind } = this.#take();
      if (kind === "{") depth++;
      if (kind === "}") depth--;
      if (kind === "end" || kind === "unterminated") {
        this.#break(opening, "expected a } for this {");
      }
    }
  }

  #peek(): Token {
    return this.#tokens[this.#next]!;
  }

  /** The last token is returned repeatedly. */
  #take(): Token {
    const token = this.#peek();
    if (this.#next < this.#tokens.length - 1) this.#next++;
    return token;
  }

  #break(token: Token, expected: string): never {
    this.#report(
      token,
      token.kind === "unterminated" ? 'expected a " at the end of this string' : expected,
    );
    throw new ParsingStopped();
  }

  #report(token: Token, what: string): void {
    this.#parsed.problems.push(syntaxError(this.#place(token), what, this.#dialect));
  }

  #place({ line, column }: Token): FilePlace {
    return { file: this.#file, line, column };
  }
}

/**
 * Says what value is expected if this has another form; its text is checked later. The text is not
 * quoted: it may be a part of another option's value, such as a password.
 */
function typeFault(
  { form, argument }: Option,
  words: readonly Token[],
  key: string,
): string | undefined {
  const [{ kind, text }] = words as [Token];
  switch (form) {
    case "number":
      // A fraction can only be written in quotes.
      if (kind === "string" ? /^\d+\.\d+$/.test(text) : /^(\d+|[a-z]+)$/i.test(text)) {
        return undefined;
      }
      if (argument === "N|auto") return "expected a number, or auto, without quotes";
      return "expected a non-negative number, without quotes (in quotes if it has a fraction)";
    case "flag":
      if (/^(yes|y|on|true|t|no|n|off|false|f)$/i.test(text)) return undefined;
      return "expected on or off";
    case "protocols":
      if (kind === "bare") return undefined;
      return "expected TLS versions without quotes, as in TLSv1.2 TLSv1.3";
    default:
      if (kind === "string") {
        return text.includes('"') ? 'expected text without " and without escapes' : undefined;
      }
      if (/^[A-Za-z0-9-]+$/.test(text) && !/^-?\d+$/.test(text)) return undefined;
      return `expected quotes around the value, as in ${key} = "${argument}"`;
  }
}
