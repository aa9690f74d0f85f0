import { type Clock, systemClock } from "../base/clock.ts";
import type { LogEntry } from "../base/log_entry.ts";
import type { WorkerLimits } from "./limits.ts";

/** What a gate does. */
export interface ConnectionLimiterEvents {
  /** Accept no more; new connections wait in the queue. */
  pause(): void;
  resume(): void;
  /** The limit was reached; at most once in {@link LOG_PAUSE_MS}. */
  reached(message: string, facts: LogEntry["facts"]): void;
}

/** Milliseconds between two lines of the log about the limit. */
export const LOG_PAUSE_MS = 10_000;

/** Keeps the number of a worker's connections within its limits. */
export class ConnectionLimiter {
  private readonly own: Pick<WorkerLimits, "connections" | "reason">;
  private readonly events: ConnectionLimiterEvents;
  private readonly clock: Clock;
  private quota: number;
  private isShut = false;
  /** Since the last line of the log. */
  private times = 0;
  private resets = 0;
  private loggedAt = -Infinity;

  /** `own` is the worker's own limit, `quota` its share of the limit of all workers. */
  constructor(
    own: Pick<WorkerLimits, "connections" | "reason">,
    quota: number,
    events: ConnectionLimiterEvents,
    clock: Clock = systemClock,
  ) {
    this.own = own;
    this.quota = quota;
    this.events = events;
    this.clock = clock;
    this.isShut = quota <= 0;
  }

  /** The listeners have to be paused, those which are opened just now as well. */
  get isPaused(): boolean {
    return this.isShut;
  }

  /**
   * False for one that came in spite of the pause, which not every system makes possible: there is
   * no room for it.
   */
  admits(open: number): boolean {
    if (open < this.limit) return true;
    this.resets++;
    return false;
  }

  /** So many connections are open now, one more than before. */
  opened(open: number): void {
    if (this.isShut || open < this.limit) return;
    this.times++;
    this.shut();
    this.tell();
  }

  /** So many connections are open now, one less than before. */
  closed(open: number): void {
    if (this.isShut && open <= this.limit - room(this.limit)) this.unlock();
  }

  /** The worker's share of the limit of all workers, while so many connections are open. */
  allot(quota: number, open: number): void {
    this.quota = quota;
    if (open >= this.limit) this.shut();
    else if (this.isShut) this.unlock();
  }

  private get limit(): number {
    return Math.min(this.own.connections, this.quota);
  }

  private shut(): void {
    if (this.isShut) return;
    this.isShut = true;
    this.events.pause();
  }

  private unlock(): void {
    this.isShut = false;
    this.events.resume();
  }

  private tell(): void {
    const now = this.clock.now();
    if (now - this.loggedAt < LOG_PAUSE_MS) return;
    const { limit, times, resets } = this;
    this.loggedAt = now;
    this.times = this.resets = 0;
    const reason = limit < this.own.connections
      ? "its share of --max-connections"
      : this.own.reason;
    const before = times > 1 ? `; so it was ${times} times since this was last told` : "";
    this.events.reached(
      `open connections have reached the limit of ${limit}, ${reason}; new ones wait until some ` +
        `end${before}`,
      { limit, times, ...(resets > 0 ? { resets } : {}) },
    );
  }
}

/** So much must be free before accepting goes on: to stop and start costs system calls. */
function room(limit: number): number {
  return Math.max(1, Math.floor(limit / 100));
}
