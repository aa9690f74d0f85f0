import { type Clock, systemClock } from "../base/clock.ts";
import type { LogEntry } from "../base/log_entry.ts";
import type { WorkerLimits } from "./limits.ts";

/** What the limiter calls. */
export interface ConnectionLimiterEvents {
  /** Accept no more; new connections wait in the kernel's queue. */
  pause(): void;
  resume(): void;
  /** The limit was reached. */
  counted(limit: WorkerLimits["limit"] | "max-connections"): void;
  /** The same for the log; at most once in {@link LOG_INTERVAL_MS}. */
  reached(message: string, facts: LogEntry["facts"]): void;
}

/** Minimum time between two log messages about the limit, in milliseconds. */
export const LOG_INTERVAL_MS = 10_000;

/** The limit of a worker itself, and what sets it. */
type OwnLimit = Pick<WorkerLimits, "connections" | "limit" | "reason">;

/** Keeps the number of a worker's connections within its limits. */
export class ConnectionLimiter {
  private readonly own: OwnLimit;
  private readonly events: ConnectionLimiterEvents;
  private readonly clock: Clock;
  private quota: number;
  private paused = false;
  /** How often the limit was reached since the last log message. */
  private times = 0;
  private resets = 0;
  private loggedAt = -Infinity;

  /** `own` is the worker's own limit, `quota` its share of the total limit. */
  constructor(
    own: OwnLimit,
    quota: number,
    events: ConnectionLimiterEvents,
    clock: Clock = systemClock,
  ) {
    this.own = own;
    this.quota = quota;
    this.events = events;
    this.clock = clock;
    this.paused = quota <= 0;
  }

  /** Listeners have to be paused, including new ones. */
  get isPaused(): boolean {
    return this.paused;
  }

  /** Returns false if there is no room: some systems accept a connection despite the pause. */
  admits(open: number): boolean {
    if (open < this.limit) return true;
    this.resets++;
    return false;
  }

  /** A connection was opened; `open` counts it. */
  opened(open: number): void {
    if (this.paused || open < this.limit) return;
    this.times++;
    this.events.counted(this.isQuota ? "max-connections" : this.own.limit);
    this.pause();
    this.logReached();
  }

  /** A connection was closed; `open` are left. */
  closed(open: number): void {
    if (this.paused && open <= this.limit - margin(this.limit)) this.resume();
  }

  /** Sets the worker's share of the total limit. */
  setQuota(quota: number, open: number): void {
    this.quota = quota;
    if (open >= this.limit) this.pause();
    else if (this.paused) this.resume();
  }

  private get limit(): number {
    return Math.min(this.own.connections, this.quota);
  }

  /** Its share of the total limit is the lower one. */
  private get isQuota(): boolean {
    return this.quota < this.own.connections;
  }

  private pause(): void {
    if (this.paused) return;
    this.paused = true;
    this.events.pause();
  }

  private resume(): void {
    this.paused = false;
    this.events.resume();
  }

  private logReached(): void {
    const now = this.clock.now();
    if (now - this.loggedAt < LOG_INTERVAL_MS) return;
    const { limit, times, resets } = this;
    this.loggedAt = now;
    this.times = this.resets = 0;
    const reason = this.isQuota ? "its share of --max-connections" : this.own.reason;
    const before = times > 1 ? `; reached ${times} times since the last message` : "";
    this.events.reached(
      `reached the limit of ${limit} open connections (${reason}); new ones wait until others ` +
        `close${before}`,
      { limit, times, ...(resets > 0 ? { resets } : {}) },
    );
  }
}

/** Returns how many must be free before accepting resumes: each pause costs system calls. */
function margin(limit: number): number {
  return Math.max(1, Math.floor(limit / 100));
}
