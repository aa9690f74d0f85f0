/** Text of strangers, such as names in certificates, before it reaches a terminal. */

/**
 * Escapes everything that could control a terminal or change the order of what it shows: control
 * characters, also those of C1, format characters such as bidirectional overrides (Unicode's Cf),
 * line separators, and code points without a meaning.
 */
export function plain(text: string): string {
  return text.replaceAll(UNSAFE, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** Returns JSON, indented, whose strings have the same characters escaped as JSON escapes them. */
export function plainJson(value: unknown): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value, undefined, 2).replaceAll(
    UNSAFE_IN_JSON,
    (character) => character.replaceAll(/[^]/g, escaped),
  );
}

const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\u2028\u2029]/gu;
/** The newlines are those of the indentation. */
const UNSAFE_IN_JSON = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\u2028\u2029]/gu;
