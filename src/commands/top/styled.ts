/** Lines of styled text, and how a terminal shows them (ECMA-48). */

export type Style = "title" | "heading" | "error" | "warning" | "good" | "dim";

export interface Span {
  readonly text: string;
  readonly style?: Style;
}

export type Line = readonly Span[];

/** Parameters of SGR, without and with colour. */
const SGR: Readonly<Record<Style, readonly [plain: string, coloured: string]>> = {
  title: ["7", "7"],
  heading: ["1", "1"],
  error: ["1", "1;31"],
  warning: ["", "33"],
  good: ["", "32"],
  dim: ["", "2"],
};

/** Returns a line of one span. */
export function line(text: string, style?: Style): Line {
  return [style === undefined ? { text } : { text, style }];
}

/**
 * Returns the text with its styles, cut to a number of columns, and what erases the rest of the line. A
 * full line has no rest: the cursor then stays on its last character, which would be erased.
 */
export function shown(line: Line, columns: number, isColoured: boolean): string {
  let left = columns;
  let result = "";
  for (const { text, style } of line) {
    const cut = [...text].slice(0, left).join("");
    left -= [...cut].length;
    const sgr = style === undefined ? "" : SGR[style][isColoured ? 1 : 0];
    result += sgr === "" || cut === "" ? cut : `\x1b[${sgr}m${cut}\x1b[0m`;
  }
  return left > 0 ? `${result}\x1b[K` : result;
}

/**
 * Returns what changes the screen from one frame to the next: the lines that differ, as one write
 * that terminals show at once if they know synchronized updates (DEC private mode 2026).
 */
export function difference(before: readonly string[], next: readonly string[]): string {
  const changes = next.flatMap((text, row) =>
    text === before[row] ? [] : [`\x1b[${row + 1};1H${text}`]
  );
  if (next.length < before.length) changes.push(`\x1b[${next.length + 1};1H\x1b[J`);
  return changes.length === 0 ? "" : `\x1b[?2026h${changes.join("")}\x1b[?2026l`;
}
