import type { Clock } from "../../src/base/clock.ts";

/** A clock that moves only by `advance`. */
export class HandClock implements Clock {
  private readonly timers: { at: number; call: () => void }[] = [];
  private time = 0;

  now(): number {
    return this.time;
  }

  after(milliseconds: number, call: () => void): void {
    this.timers.push({ at: this.time + milliseconds, call });
  }

  advance(milliseconds: number): void {
    const end = this.time + milliseconds;
    for (;;) {
      const due = this.timers.findIndex(({ at }) => at <= end);
      if (due < 0) break;
      const [timer] = this.timers.splice(due, 1);
      this.time = timer!.at;
      timer!.call();
    }
    this.time = end;
  }
}
