import { raise } from "../base/raise.ts";
import { type Clock, systemClock } from "../base/clock.ts";

/** Idle time is measured in rounds, so a timeout fires at most a tenth of the limit late. */
const ROUNDS = 10;
const MIN_ROUND_MS = 10;
/** Limits that may pass while a slow reader still has bytes to read. */
const SLOW_READER_FACTOR = 10;

/** Something that can be idle. */
export interface IdleHolder {
  /** Set by the holder at each activity, which is all that activity costs. */
  isActive: boolean;
  idleRounds: number;
  /** It waits for a slow reader. */
  readonly isBlocked: boolean;
}

/** Finds holders that were idle too long, with one timer for all of them. */
export class IdleTimeouts<T extends IdleHolder> {
  private readonly holders = new Set<T>();
  private readonly roundMs: number;
  private readonly rounds: number;
  private readonly expired: (holder: T) => void;
  private readonly clock: Clock;
  private isScheduled = false;

  /** `expired` is called once for each holder that was idle for `seconds`. */
  constructor(seconds: number, expired: (holder: T) => void, clock: Clock = systemClock) {
    this.roundMs = Math.max(seconds * 1000 / ROUNDS, MIN_ROUND_MS);
    this.rounds = Math.ceil(seconds * 1000 / this.roundMs);
    this.expired = expired;
    this.clock = clock;
  }

  start(holder: T): void {
    holder.isActive = true;
    this.holders.add(holder);
    if (!this.isScheduled) this.schedule();
  }

  stop(holder: T): void {
    this.holders.delete(holder);
  }

  private schedule(): void {
    this.isScheduled = true;
    this.clock.after(this.roundMs, () => {
      this.isScheduled = false;
      for (const holder of this.holders) this.check(holder);
      if (this.holders.size > 0 && !this.isScheduled) this.schedule();
    });
  }

  private check(holder: T): void {
    if (holder.isActive) {
      holder.isActive = false;
      holder.idleRounds = 0;
      return;
    }
    const factor = holder.isBlocked ? SLOW_READER_FACTOR : 1;
    if (++holder.idleRounds < this.rounds * factor) return;
    this.holders.delete(holder);
    try {
      this.expired(holder);
    } catch (error) {
      raise(error);
    }
  }
}
