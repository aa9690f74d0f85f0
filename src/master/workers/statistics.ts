import { type Clock, systemClock } from "../../base/clock.ts";
import type { CounterSums } from "../../base/counters.ts";
import { connectionsText } from "../../base/count_text.ts";
import type { Log } from "../../base/log_entry.ts";
import type { Reported } from "./watched_worker.ts";

/** What is read of a worker's slot. */
interface ReportedSlot {
  readonly number: number;
  readonly reported: Reported | undefined;
}

/** Logs at an interval what each worker has done, one line for each. */
export class Statistics {
  private readonly log: Log;
  private readonly knowsHandshakes: boolean;
  private readonly clock: Clock;
  private intervalMs = 0;
  private dueAt = 0;

  /** Without `knowsHandshakes` it logs accepted connections instead. */
  constructor(log: Log, tellsHandshakes: boolean, clock: Clock = systemClock) {
    this.log = log;
    this.knowsHandshakes = tellsHandshakes;
    this.clock = clock;
  }

  /** Sets the interval in seconds; 0: never. */
  set interval(seconds: number) {
    const milliseconds = seconds * 1000;
    if (milliseconds === this.intervalMs) return;
    this.intervalMs = milliseconds;
    this.dueAt = this.clock.now() + milliseconds;
  }

  /** Called about once a second. */
  check(slots: readonly ReportedSlot[]): void {
    const now = this.clock.now();
    if (now < this.dueAt) return;
    // Delays of checks do not add up.
    this.dueAt = Math.max(this.dueAt + this.intervalMs, now);
    this.logNow(slots);
  }

  /** Logs now, unless the interval is 0. */
  logNow(slots: readonly ReportedSlot[]): void {
    if (this.intervalMs === 0) return;
    for (const { number, reported } of slots) {
      if (!reported) continue;
      const { pid, open, counters } = reported;
      const accepted = counters.total("connections_accepted_total");
      const full = counters.total("handshakes_total", { kind: "full" });
      const resumed = counters.total("handshakes_total", { kind: "resumed" });
      const left = counters.total("connection_failures_total", { code: "client-left" });
      const failed = counters.total("connection_failures_total") - left;
      const handshakes = this.knowsHandshakes
        ? `${full} full and ${resumed} resumed handshakes`
        : `${connectionsText(accepted)} accepted`;
      this.log({
        level: "info",
        event: "statistics",
        message: `${handshakes}, ${connectionsText(open)} open` +
          (failed > 0 ? `, ${failed} failed` : "") +
          (left > 0 ? `, ${left} left at once` : ""),
        facts: {
          ...{ worker: number, pid, open, accepted, failed, left },
          ...(this.knowsHandshakes ? { full, resumed } : {}),
        },
      });
    }
  }
}

/** Returns for example `, 71 % of 420 handshakes resumed`, or "" if none is known. */
export function resumedText(counters: CounterSums): string {
  const full = counters.total("handshakes_total", { kind: "full" });
  const resumed = counters.total("handshakes_total", { kind: "resumed" });
  const all = full + resumed;
  return all === 0 ? "" : `, ${Math.floor(resumed / all * 100)} % of ${all} handshakes resumed`;
}
