/**
 * The tokens of hitch's grammar: newlines are whitespace, `#` outside strings begins a comment, a
 * string is enclosed in double quotes, may span lines and has no escapes.
 */

/** Lines and columns count from 1, columns in UTF-16 units. */
export interface Token {
  readonly kind: "{" | "}" | "=" | "separator" | "bare" | "string" | "unterminated" | "end";
  /** Without the quotes. */
  readonly text: string;
  readonly line: number;
  readonly column: number;
}

const pattern =
  /\s+|#[^\n]*|(?<mark>[{}=])|(?<separator>[;,])|"(?<string>(?:\\[^]|[^"\\])*)"|(?<bare>[^\s{}=;,"#]+)|(?<unterminated>")/gy;

/** Splits a text into tokens; the last one is `end`, or an unterminated string. */
export function tokens(text: string): Token[] {
  const found: Token[] = [];
  let line = 1;
  let lineStart = 0;
  for (const match of text.matchAll(pattern)) {
    const at = { line, column: match.index - lineStart + 1 };
    const { mark, separator, string, bare, unterminated } = match.groups!;
    if (mark !== undefined) found.push({ kind: mark as "{" | "}" | "=", text: mark, ...at });
    else if (separator !== undefined) found.push({ kind: "separator", text: separator, ...at });
    else if (string !== undefined) found.push({ kind: "string", text: string, ...at });
    else if (bare !== undefined) found.push({ kind: "bare", text: bare, ...at });
    else if (unterminated !== undefined) {
      return [...found, { kind: "unterminated", text: unterminated, ...at }];
    }
    line += match[0].split("\n").length - 1;
    if (match[0].includes("\n")) lineStart = match.index + match[0].lastIndexOf("\n") + 1;
  }
  return [...found, { kind: "end", text: "", line, column: text.length - lineStart + 1 }];
}

/** True if a `{` occurs outside strings and comments: stud's grammar has none. */
export function hasBlocks(text: string): boolean {
  return tokens(text).some(({ kind }) => kind === "{");
}
