/** Helpers for error messages: quoting, and suggestions for mistyped names. */

/**
 * Returns the text in double quotes, on one line, cut to a length that fits into a message. A URL is
 * shown without user and password.
 */
export function quote(text: string): string {
  const shown = withoutCredentials(text);
  return JSON.stringify(shown.length > 120 ? `${shown.slice(0, 120)}…` : shown);
}

/** Returns the text without user and password, which may be in a URL or stand before a host. */
export function withoutCredentials(text: string): string {
  return text.replace(CREDENTIALS, "://").replace(/^[^/[\]@]+:.*@(?!SECLEVEL|STRENGTH)/s, "");
}

/** True if the text contains a URL with a user or a password. */
export function hasCredentials(text: string): boolean {
  return CREDENTIALS.test(text);
}

/** A password may contain any character, also when that is not allowed. */
const CREDENTIALS = /:\/\/.*@/s;

/** True if the text looks like the name of a configuration file. */
export function isConfigName(text: string): boolean {
  return /\.(conf|cfg|cnf|config|ini|ya?ml|toml|json)$/i.test(text);
}

/** The maximum number of problems that are reported from one source. */
const MAX_PROBLEMS = 20;

/** Returns the first problems, and a line with the number of the others. */
export function bounded(problems: string[], where: string): string[] {
  const more = problems.length - MAX_PROBLEMS;
  if (more <= 0) return problems;
  return [...problems.slice(0, MAX_PROBLEMS), `${where}: and ${more} more`];
}

/** Returns the known name nearest to the typed one, with at most one edit per three letters. */
export function nearest(typed: string, known: readonly string[]): string | undefined {
  const [best] = known
    .map((name) => ({ name, edits: editDistance(typed.slice(0, 40), name) }))
    .sort((a, b) => a.edits - b.edits);
  return best && best.edits <= Math.min(3, typed.length / 3) ? best.name : undefined;
}

/** The Levenshtein distance, computed row by row. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
