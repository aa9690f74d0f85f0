/** Statistics of the rounds' figures. No I/O: it runs on every runtime. */

/**
 * Returns the median; the mean of the two middle values if their number is even. Throws a
 * RangeError without values.
 */
export function median(values: readonly number[]): number {
  return percentile(values, 50, true);
}

/**
 * Returns the smallest value that at least `percent` % of the values do not exceed. With `between`,
 * returns the mean of the two neighbors if the split falls exactly between them. Throws a
 * RangeError without values.
 */
export function percentile(values: readonly number[], percent: number, between = false): number {
  if (values.length === 0) throw new RangeError("no values to take a percentile of");
  const sorted = values.toSorted((a, b) => a - b);
  const rank = sorted.length * percent / 100;
  const value = sorted[Math.max(0, Math.ceil(rank) - 1)]!;
  if (!between || !Number.isInteger(rank)) return value;
  return (value + sorted[Math.min(rank, sorted.length - 1)]!) / 2;
}

/** The median, the smallest and the largest of several values. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** One figure per round; a round without a figure is absent. */
export type Rounds = ReadonlyMap<number, number>;

/**
 * Returns the ratios to another program in the same rounds, so that a disturbance of a whole round
 * does not count. Undefined if the two have no round in common.
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
 * Corrects for coordinated omission: a client that sends every `interval`, but only after the last
 * answer, omits requests while it waits for a slow answer; these would have waited too, and are
 * added.
 */
export function withOmitted(latencies: readonly number[], interval: number): number[] {
  const all = [...latencies];
  for (const latency of latencies) {
    for (let rest = latency - interval; rest > 0; rest -= interval) all.push(rest);
  }
  return all;
}
