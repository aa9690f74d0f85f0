/** What is made of the rounds' figures. Pure: it runs on every runtime. */

/** The middle one of the values, or the mean of the two in the middle. Throws if there is none. */
export function median(values: readonly number[]): number {
  return percentile(values, 50, true);
}

/**
 * The smallest value that at least `percent` % of the values do not exceed; with `between` the mean
 * of two neighbours where exactly so many are on each side. Throws if there is none.
 */
export function percentile(values: readonly number[], percent: number, between = false): number {
  if (values.length === 0) throw new RangeError("no values to take a percentile of");
  const sorted = values.toSorted((a, b) => a - b);
  const rank = sorted.length * percent / 100;
  const value = sorted[Math.max(0, Math.ceil(rank) - 1)]!;
  if (!between || !Number.isInteger(rank)) return value;
  return (value + sorted[Math.min(rank, sorted.length - 1)]!) / 2;
}

/** The median of several values with the smallest and the largest. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** One figure of one program in each round; a round in which it could not be had is absent. */
export type Rounds = ReadonlyMap<number, number>;

/**
 * How the values relate to those of another program in the same rounds, so that what disturbed
 * a whole round does not count. Undefined where the two have no round in common.
 */
export function ratio(values: Rounds, base: Rounds): Spread | undefined {
  const ratios: number[] = [];
  for (const [round, value] of values) {
    const other = base.get(round);
    if (other !== undefined && other > 0) ratios.push(value / other);
  }
  return ratios.length > 0 ? spread(ratios) : undefined;
}

/**
 * Adds what a client could not measure while it waited: one that sends every `interval` but not
 * before the last answer came has, for an answer that took longer, left out requests which would
 * have waited too ("coordinated omission").
 */
export function withOmitted(latencies: readonly number[], interval: number): number[] {
  const all = [...latencies];
  for (const latency of latencies) {
    for (let rest = latency - interval; rest > 0; rest -= interval) all.push(rest);
  }
  return all;
}
