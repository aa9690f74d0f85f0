import { type Clock, systemClock } from "../../base/clock.ts";
import type { CounterSums } from "../../base/counters.ts";
import type { Log } from "../../base/log_entry.ts";
import type { Reported } from "./watched_worker.ts";

/** What is asked of a worker's slot. */
interface ReportedSlot {
  readonly number: number;
  readonly reported: Reported | undefined;
}

/** Tells every so often what each worker has done, by one line for each. */
export class Statistics {
  private readonly log: Log;
  private readonly tellsHandshakes: boolean;
  private readonly clock: Clock;
  private intervalMs = 0;
  private dueAt = 0;

  /** Without `tellsHandshakes` their kinds are not known. */
  constructor(log: Log, tellsHandshakes: boolean, clock: Clock = systemClock) {
    this.log = log;
    this.tellsHandshakes = tellsHandshakes;
    this.clock = clock;
  }

  /** Seconds; 0 is never. */
  set interval(seconds: number) {
    const milliseconds = seconds * 1000;
    if (milliseconds === this.intervalMs) return;
    this.intervalMs = milliseconds;
    this.dueAt = this.clock.now() + milliseconds;
  }

  /** To be called about once a second. */
  check(slots: readonly ReportedSlot[]): void {
    const now = this.clock.now();
    if (now < this.dueAt) return;
    // Checks that come late do not add up.
    this.dueAt = Math.max(this.dueAt + this.intervalMs, now);
    this.tell(slots);
  }

  /** Tells now, if at all. */
  tell(slots: readonly ReportedSlot[]): void {
    if (this.intervalMs === 0) return;
    for (const { number, reported } of slots) {
      if (!reported) continue;
      const { pid, open, counters } = reported;
      const accepted = counters.total("connections_accepted_total");
      const full = counters.total("handshakes_total", { kind: "full" });
      const resumed = counters.total("handshakes_total", { kind: "resumed" });
      const handshakes = this.tellsHandshakes
        ? `${full} full and ${resumed} resumed handshakes`
        : `${accepted} connections accepted`;
      this.log({
        level: "info",
        event: "statistics",
        message: `${handshakes}, ${open} connections open`,
        facts: {
          ...{ worker: number, pid, open, accepted },
          ...(this.tellsHandshakes ? { full, resumed } : {}),
        },
      });
    }
  }
}

/** `, 71 % of 420 handshakes resumed`, or "" where none is known. */
export function resumedText(counters: CounterSums): string {
  const full = counters.total("handshakes_total", { kind: "full" });
  const resumed = counters.total("handshakes_total", { kind: "resumed" });
  const all = full + resumed;
  return all === 0 ? "" : `, ${Math.floor(resumed / all * 100)} % of ${all} handshakes resumed`;
}
