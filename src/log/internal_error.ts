import type { LogEntry } from "../base/log_entry.ts";
import { reasonOf } from "../base/errors.ts";

/** Returns the log entry for an internal error. The stack is in the JSON form only. */
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
