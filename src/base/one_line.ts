/**
 * Text from the network or from files must not add a line, control a terminal or show anything else
 * than it says. So these are escaped: control characters, line separators, and what is invisible or
 * changes the direction of text.
 */

/** Escapes them for people, as `\x0a`, `\u202e` or `\u{e0041}`. */
export function oneLine(text: string): string {
  return text.replaceAll(SPECIAL, (character) => {
    const code = character.codePointAt(0)!.toString(16);
    if (code.length <= 2) return `\\x${code.padStart(2, "0")}`;
    return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, "0")}`;
  });
}

/**
 * Escapes them in JSON, whose value stays the same. JSON.stringify has escaped the control characters
 * below U+0020 and lone surrogates; newlines are left, which are those of its indentation.
 */
export function escapedJson(json: string): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return json.replaceAll(
    SPECIAL,
    (found) => found === "\n" ? found : found.replaceAll(/[^]/g, escaped),
  );
}

const SPECIAL = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
