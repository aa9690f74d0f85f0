import { raise } from "./raise.ts";
import { type Clock, systemClock } from "./clock.ts";

/**
 * One time limit shared by many holders. All wait equally long, so they expire in the order in
 * which they came, and a single timer for the oldest serves them all.
 */
export class TimeoutQueue<T> {
  private readonly expiries = new Map<T, number>();
  private isWaiting = false;
  private readonly milliseconds: number;
  private readonly expired: (holder: T) => void;
  private readonly clock: Clock;

  /** `expired` is called once for each holder that is still here after `seconds`. */
  constructor(seconds: number, expired: (holder: T) => void, clock = systemClock) {
    this.milliseconds = seconds * 1000;
    this.expired = expired;
    this.clock = clock;
  }

  get size(): number {
    return this.expiries.size;
  }

  /** Who has been here longest. */
  get oldest(): T | undefined {
    return this.expiries.keys().next().value;
  }

  /** Starts the holder's time, or starts it anew. */
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
