import { type Clock, systemClock } from "../base/clock.ts";

/** A rate limiter: a token bucket that holds one second's tokens. */
export class Rate {
  private readonly most: number;
  private readonly clock: Clock;
  private left: number;
  private at: number;

  constructor(most: number, clock: Clock = systemClock) {
    this.most = most;
    this.clock = clock;
    this.left = most;
    this.at = clock.now();
  }

  /** Takes a token. Returns false if there is none. */
  take(): boolean {
    const now = this.clock.now();
    this.left = Math.min(this.most, this.left + (now - this.at) / 1000 * this.most);
    this.at = now;
    if (this.left < 1) return false;
    this.left--;
    return true;
  }
}
