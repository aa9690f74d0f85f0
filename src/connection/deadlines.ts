/**
 * One time limit shared by many holders. All wait equally long, so they expire in the order in
 * which they came, and a single timer for the oldest serves them all.
 */
export class Deadlines<T> {
  private readonly expiries = new Map<T, number>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly milliseconds: number;
  private readonly expired: (holder: T) => void;

  /** `expired` is called once for each holder that is still here after `seconds`. */
  constructor(seconds: number, expired: (holder: T) => void) {
    this.milliseconds = seconds * 1000;
    this.expired = expired;
  }

  /** Starts the holder's time, or starts it anew. */
  start(holder: T): void {
    this.expiries.delete(holder);
    this.expiries.set(holder, performance.now() + this.milliseconds);
    this.timer ??= setTimeout(this.sweep, this.milliseconds);
  }

  stop(holder: T): void {
    this.expiries.delete(holder);
  }

  private readonly sweep = (): void => {
    this.timer = undefined;
    const now = performance.now();
    for (const [holder, expiry] of this.expiries) {
      if (expiry > now) {
        this.timer = setTimeout(this.sweep, expiry - now);
        return;
      }
      this.expiries.delete(holder);
      this.expired(holder);
    }
  };
}
