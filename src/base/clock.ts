import { monotonicMicroseconds } from "../os/monotonic_clock.ts";
import type { Libc } from "../os/libc.ts";

/** The clock that the program uses, as an interface that a test can control. */
export interface Clock {
  /** Monotonic time in milliseconds. */
  now(): number;
  /** Calls back once, after any delay in milliseconds. */
  after(milliseconds: number, call: () => void): void;
}

/** The maximum delay of `setTimeout`, 24.8 days; the runtimes turn a longer one into 1 ms. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/**
 * The clock of this process. Use it for every delay from outside, which may exceed the maximum of
 * `setTimeout`; the options' delays are a day at most.
 */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(milliseconds, call) {
    if (milliseconds <= MAX_DELAY_MS) setTimeout(call, milliseconds);
    else setTimeout(() => systemClock.after(milliseconds - MAX_DELAY_MS, call), MAX_DELAY_MS);
  },
};

/** Long enough for one turn of the event loop, in milliseconds. */
const READ_MS = 100;

/**
 * As {@link Clock.after}, but what arrived while this process was stalled is read before the call: a
 * time limit for an answer must not expire because the answer could not be read.
 */
export function afterReading(clock: Clock, milliseconds: number, call: () => void): void {
  clock.after(milliseconds, () => clock.after(READ_MS, call));
}

/** Returns a clock with the same time in all processes of the machine. */
export function sharedClock(libc: Libc): Clock {
  return { ...systemClock, now: () => Number(monotonicMicroseconds(libc)) / 1000 };
}
