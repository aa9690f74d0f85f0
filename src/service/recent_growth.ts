/** How long growth counts as recent, in milliseconds. */
const RECENT_MS = 600_000;

/** A count that is of interest while it grows. */
export class RecentGrowth {
  private last: number | undefined;
  private grownAt = -Infinity;

  /**
   * Returns the count if it has grown in the last ten minutes, else 0. Growth is dated by the call that
   * finds it, so call it regularly; the first call only notes the count. `now` is in milliseconds.
   */
  lately(count: number, now: number): number {
    if (count > (this.last ?? count)) this.grownAt = now;
    this.last = count;
    return now - this.grownAt < RECENT_MS ? count : 0;
  }
}
