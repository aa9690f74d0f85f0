import { type Clock, systemClock } from "./clock.ts";

/** How often the delay is measured, in milliseconds: a timer wakes an idle Bun for 0.25 ms. */
const INTERVAL_MS = 500;
/** Measurements that {@link LoopDelay.recentMs} covers at least: those of one second. */
const WINDOW = 2;

/**
 * How late the event loop calls a timer: everything else waits as long. Bun and Deno lack Node's
 * histogram of it, and two timers a second cost less.
 */
export class LoopDelay {
  private readonly clock: Clock;
  private dueAt: number;
  private count = 0;
  private maxMs = 0;
  private lastMaxMs = 0;

  constructor(clock: Clock = systemClock) {
    this.clock = clock;
    this.dueAt = clock.now() + INTERVAL_MS;
    clock.after(INTERVAL_MS, () => this.measure());
  }

  /** The longest delay of the last one to two seconds, in milliseconds. */
  get recentMs(): number {
    return Math.max(this.maxMs, this.lastMaxMs);
  }

  private measure(): void {
    const now = this.clock.now();
    this.maxMs = Math.max(this.maxMs, now - this.dueAt);
    if (++this.count % WINDOW === 0) {
      this.lastMaxMs = this.maxMs;
      this.maxMs = 0;
    }
    this.dueAt = now + INTERVAL_MS;
    this.clock.after(INTERVAL_MS, () => this.measure());
  }
}
