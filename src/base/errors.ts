import type { LogEntry } from "../log.ts";

/**
 * Mistakes in what the user asked for. Each of `problems` is one line: what, where, what to do about
 * it. Control characters in them are escaped, so that no file and no argument can add a line.
 */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly problems: readonly string[];

  constructor(problems: string | readonly string[], options?: ErrorOptions) {
    const lines = (typeof problems === "string" ? [problems] : problems).map(oneLine);
    super(lines.join("\n"), options);
    this.problems = lines;
  }
}

/** The first line of what an error says. */
export function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0]!;
}

/** What is told of a fault of the program's own. */
export function internalError(error: unknown): LogEntry {
  const reason = reasonOf(error);
  return {
    level: "error",
    event: "internal-error",
    message: `internal error: ${reason}; please report it`,
    facts: {
      source: "internal",
      code: "internal-error",
      cause: (error instanceof Error && error.stack) || reason,
    },
  };
}

function oneLine(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\u2028\u2029]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
