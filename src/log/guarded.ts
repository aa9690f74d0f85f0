import { UsageError } from "../base/errors.ts";
import type { Log } from "../base/log_entry.ts";
import { internalError } from "./internal_error.ts";

/**
 * Takes one step of a change that can no longer be undone. What the step throws is logged, so that
 * the steps after it are taken all the same: a UsageError as a warning for each of its problems, and
 * anything else as an internal error. Returns the step's result, or undefined when it failed. The
 * step begins at once; the promise is never rejected.
 */
export async function guarded<T>(log: Log, step: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof UsageError)) log(internalError(error));
    else for (const problem of error.problems) log(warning(problem));
    return undefined;
  }
}

function warning(message: string) {
  return { level: "warn", event: "warning", message, facts: {} } as const;
}
