import type { SessionFound, SessionReport } from "../sessions/messages.ts";
import { SessionCache } from "../sessions/session_cache.ts";
import type { Prepared } from "./prepare.ts";

/** The TLS 1.2 sessions that all workers know: they outlive workers and generations. */
export class Sessions {
  private readonly cache = new SessionCache();
  private timeout = 0;

  /** Another configuration counts from now on; what is kept stays, as far as there is room. */
  use({ config }: Pick<Prepared, "config">): void {
    this.timeout = config.sessions.timeout;
    this.cache.resize(config.sessions.cache);
  }

  /** What a worker says, and what it is answered. */
  obey(report: SessionReport): SessionFound | undefined {
    if (report.type === "session-made") {
      this.cache.store(report, report.session, this.timeout);
      return undefined;
    }
    const session = this.cache.find(report);
    const { number } = report;
    return { type: "session-found", number, ...(session === undefined ? {} : { session }) };
  }

  /** To be called about once a second. */
  check(): void {
    this.cache.sweep();
  }
}
