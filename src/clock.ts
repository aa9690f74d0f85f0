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
