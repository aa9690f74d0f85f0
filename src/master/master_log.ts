import type { Log, LogEntry } from "../base/log_entry.ts";
import { LogRateLimiter } from "../log/rate_limiter.ts";
import type { LogConfig } from "../options/config.ts";

/** The master's ways into the log. They differ in which repeated entries are summarized. */
export class MasterLog {
  /** None: workers summarize their own. */
  readonly direct: Log;
  /**
   * Warnings and errors. Other levels report the life of the service, where repetition is bounded.
   */
  readonly own: Log;
  /** All. */
  readonly limited: Log;
  private readonly rateLimiter: LogRateLimiter;

  /** `level` returns the current `--log-level`. */
  constructor(output: Log, level: () => LogConfig["level"]) {
    this.rateLimiter = new LogRateLimiter(output, level);
    this.direct = output;
    this.limited = (entry) => this.rateLimiter.log(entry);
    this.own = (entry) => isProblem(entry) ? this.limited(entry) : output(entry);
  }

  /** Logs the summaries that are due later. */
  flush(): void {
    this.rateLimiter.flush();
  }
}

function isProblem({ level }: LogEntry): boolean {
  return level === "warn" || level === "error";
}
