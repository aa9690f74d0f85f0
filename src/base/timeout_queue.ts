import { raise } from "./raise.ts";
import { type Clock, systemClock } from "./clock.ts";

/**
 * One time limit for many holders. All wait for the same time, so they expire in the order in which
 * they were started, and a single timer for the oldest is enough.
 */
export class TimeoutQueue<T> {
  private readonly expiries = new Map<T, number>();
  private isWaiting = false;
  private readonly milliseconds: number;
  private readonly expired: (holder: T) => void;
  private readonly clock: Clock;

  /** `expired` is called once for each holder that was not stopped within `seconds`. */
  constructor(seconds: number, expired: (holder: T) => void, clock = systemClock) {
    this.milliseconds = seconds * 1000;
    this.expired = expired;
    this.clock = clock;
  }

  get size(): number {
    return this.expiries.size;
  }

  /** The holder that expires next. */
  get oldest(): T | undefined {
    return this.expiries.keys().next().value;
  }

  /** Iterates over all holders in the order in which they expire; those that start later are last. */
  oldestFirst(): Iterator<T> {
    return this.expiries.keys();
  }

  /** Starts or restarts the holder's time. */
  start(holder: T): void {
    this.expiries.delete(holder);
    this.expiries.set(holder, this.clock.now() + this.milliseconds);
    if (!this.isWaiting) this.wait(this.milliseconds);
  }

  stop(holder: T): void {
    this.expiries.delete(holder);
  }

  private wait(milliseconds: number): void {
    this.isWaiting = true;
    this.clock.after(milliseconds, this.sweep);
  }

  private readonly sweep = (): void => {
    this.isWaiting = false;
    const now = this.clock.now();
    for (const [holder, expiry] of this.expiries) {
      if (expiry > now) {
        this.wait(expiry - now);
        return;
      }
      this.expiries.delete(holder);
      try {
        this.expired(holder);
      } catch (error) {
        raise(error);
      }
    }
  };
}
