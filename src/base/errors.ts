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

/** Runs `action`. Names the option in front of each problem of a UsageError. */
export function forOption<T>(option: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(error.problems.map((problem) => `${option}: ${problem}`));
  }
}

/** Returns the first line of an error's message. */
export function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0]!;
}
