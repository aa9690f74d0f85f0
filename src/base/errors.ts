import { oneLine } from "./one_line.ts";

/**
 * Errors in the user's input. Each of `problems` is one line: what, where, what to do. Control
 * characters in them are escaped, so that no file and no argument can add a line.
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

/** Returns the first line of an error's message. */
export function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0]!;
}
