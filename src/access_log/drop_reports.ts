import { type Clock, systemClock } from "../base/clock.ts";
import type { Log } from "../base/log_entry.ts";
import { countText } from "../base/count_text.ts";

/** Minimum time between two reports, in milliseconds. */
const INTERVAL_MS = 60_000;

/** Reports dropped lines: the first at once, then at most once a minute. */
export class DropReports {
  private readonly log: Log;
  private readonly clock: Clock;
  private lines = 0;
  private reason = "";
  private isTimerSet = false;

  constructor(log: Log, clock: Clock = systemClock) {
    this.log = log;
    this.clock = clock;
  }

  /** `reason` is a clause. */
  add(lines: number, reason: string): void {
    this.lines += lines;
    this.reason = reason;
    if (!this.isTimerSet) this.report();
  }

  /** Reports what is left, before the process exits. */
  flush(): void {
    if (this.lines > 0) this.logLines();
  }

  private report(): void {
    this.isTimerSet = this.lines > 0;
    if (!this.isTimerSet) return;
    this.logLines();
    this.clock.after(INTERVAL_MS, () => this.report());
  }

  private logLines(): void {
    const { lines, reason } = this;
    this.lines = 0;
    const what = lines === 1 ? "1 line" : `${countText(lines)} lines`;
    const message = `${what} of the access log ${lines === 1 ? "was" : "were"} lost: ${reason}`;
    this.log({ level: "warn", event: "access-log-dropped", message, facts: { lines } });
  }
}
