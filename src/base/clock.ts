import { monotonicMicroseconds } from "../os/monotonic_clock.ts";
import type { Libc } from "../os/libc.ts";

/** What the program needs of time, so that a test can hold it. */
export interface Clock {
  /** Milliseconds that never jump. */
  now(): number;
  after(milliseconds: number, call: () => void): void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after: (milliseconds, call) => void setTimeout(call, milliseconds),
};

/** One that shows the same time in all processes of the machine. */
export function sharedClock(libc: Libc): Clock {
  return { ...systemClock, now: () => Number(monotonicMicroseconds(libc)) / 1000 };
}
