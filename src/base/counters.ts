/**
 * Counters and histograms with labels. The counting process increments plain numbers; reports carry
 * them to the process that adds them up by name and labels.
 */

/** A counter or a histogram with labels, each with a fixed set of values. */
export interface CounterFamily {
  readonly name: string;
  /** One sentence, as Prometheus' HELP. */
  readonly help: string;
  readonly labels: Readonly<Record<string, readonly string[]>>;
  /** Series that were never counted are shown too, as 0. */
  readonly showsZeros?: true;
  /** Makes it a histogram: the upper bounds of the buckets, ascending, without +Inf. */
  readonly bounds?: readonly number[];
  /** A histogram's sum is counted in this fraction of the unit of `bounds`: 1e6 in microseconds. */
  readonly fraction?: number;
}

/** One number of a family. */
export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Of a histogram: a bucket, by its upper bound (`+Inf` is the last one's), or the sum. */
  readonly part?: string;
}

/** The part of a histogram that is not a bucket. */
export const SUM = "sum";

/** A number of a series. */
export type CountedSeries = Series & { readonly value: number };

/** Sums over counters. */
export interface CounterSums {
  /** Returns the sum of a family's numbers with these label values; omitted labels match all. */
  total(name: string, labels?: Readonly<Record<string, string>>): number;
}

/** The numbers of each family that are not 0: the place in the family, the number, the next place … */
export type CounterReport = Readonly<Record<string, readonly number[]>>;

/** Parses a report in a decoded frame, which is untrusted; undefined if it is invalid. */
export function parseCounterReport(value: unknown): CounterReport | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const isReport = Object.values(value).every((each) =>
    Array.isArray(each) && each.length % 2 === 0 && each.every(isCount)
  );
  return isReport ? value as CounterReport : undefined;
}

/** Parses the numbers of another version of this program; what is not valid is omitted. */
export function parseCountedSeries(value: unknown): readonly CountedSeries[] {
  return Array.isArray(value) ? value.filter(isCountedSeries) : [];
}

function isCountedSeries(value: unknown): value is CountedSeries {
  if (typeof value !== "object" || value === null) return false;
  const { name, labels, part, value: count } = value as Record<string, unknown>;
  return typeof name === "string" && typeof labels === "object" && labels !== null &&
    Object.values(labels).every((each) => typeof each === "string") &&
    (part === undefined || typeof part === "string") && isCount(count);
}

/** Monotonic numbers, one for each combination of label values of each family. */
export class CounterSet implements CounterSums {
  readonly families: readonly CounterFamily[];
  /**
   * All numbers: family after family, the last label of a family varying fastest. A histogram has its
   * buckets and its sum for each combination. The hot path increments them at precomputed places.
   */
  readonly values: Float64Array;
  private allSeries: readonly Series[] | undefined;

  constructor(families: readonly CounterFamily[]) {
    this.families = families;
    this.values = new Float64Array(families.reduce((sum, each) => sum + sizeOf(each), 0));
  }

  total(name: string, labels: Readonly<Record<string, string>> = {}): number {
    return this.series.reduce(
      (sum, each, place) => matches(each, name, labels) ? sum + this.values[place]! : sum,
      0,
    );
  }

  /** Returns the first place of a family. */
  placeOf(name: string): number {
    for (const [family, start] of this.places()) if (family.name === name) return start;
    throw new RangeError(`no counter ${name}`);
  }

  report(): CounterReport {
    const found: Record<string, readonly number[]> = {};
    for (const [{ name }, start, end] of this.places()) {
      const numbers: number[] = [];
      for (let place = start; place < end; place++) {
        const value = this.values[place]!;
        if (value !== 0) numbers.push(place - start, value);
      }
      if (numbers.length > 0) found[name] = numbers;
    }
    return found;
  }

  /**
   * Applies a newer report of a set with the same families, and calls `grown` with the increase at
   * each place. Unknown families and places and decreased numbers are ignored.
   */
  update(report: CounterReport, grown: (place: number, by: number) => void): void {
    for (const [{ name }, start, end] of this.places()) {
      const numbers = Object.hasOwn(report, name) ? report[name]! : [];
      for (let i = 0; i < numbers.length; i += 2) {
        const place = start + numbers[i]!;
        if (place >= end) continue;
        const by = numbers[i + 1]! - this.values[place]!;
        if (by <= 0) continue;
        this.values[place]! += by;
        grown(place, by);
      }
    }
  }

  /** By place. */
  get series(): readonly Series[] {
    return this.allSeries ??= this.families.flatMap(seriesOf);
  }

  /** Each family with its first place and the place after its last. */
  private *places(): Generator<readonly [CounterFamily, number, number]> {
    let start = 0;
    for (const family of this.families) {
      const end = start + sizeOf(family);
      yield [family, start, end];
      start = end;
    }
  }
}

/**
 * Counts an observation in the histogram of `bounds` whose first place is `place`; `sum` is the value
 * in the unit in which the sum is counted.
 */
export function observe(
  values: Float64Array,
  place: number,
  bounds: readonly number[],
  value: number,
  sum: number,
): void {
  let bucket = 0;
  while (bucket < bounds.length && value > bounds[bucket]!) bucket++;
  values[place + bucket]!++;
  values[place + bounds.length + 1]! += sum;
}

interface Entry {
  readonly series: Series;
  value: number;
}

/** Sums over sets whose families may have different label values. They never decrease. */
export class CounterTotals implements CounterSums {
  private readonly entries = new Map<string, Entry>();
  /** The same by object: workers report the same ones every second, and a key costs a microsecond. */
  private readonly known = new WeakMap<Series, Entry>();

  add(series: Series, by: number): void {
    const known = this.known.get(series);
    if (known) {
      known.value += by;
      return;
    }
    const key = keyOf(series);
    const entry = this.entries.get(key) ?? { series, value: 0 };
    this.entries.set(key, entry);
    this.known.set(series, entry);
    entry.value += by;
  }

  total(name: string, labels: Readonly<Record<string, string>> = {}): number {
    let sum = 0;
    for (const { series, value } of this.entries.values()) {
      if (matches(series, name, labels)) sum += value;
    }
    return sum;
  }

  /** All numbers that were counted. */
  get all(): readonly CountedSeries[] {
    return [...this.entries.values()].map(({ series, value }) => ({ ...series, value }));
  }

  /** Raises numbers to those of another process, and calls `grown` with each increase. */
  raise(numbers: readonly CountedSeries[], grown: (series: Series, by: number) => void): void {
    for (const { value, ...series } of numbers) {
      const by = value - (this.entries.get(keyOf(series))?.value ?? 0);
      if (by <= 0) continue;
      this.add(series, by);
      grown(series, by);
    }
  }
}

/** Returns the label values of each series of a family, of a histogram without its parts. */
export function labelValues({ labels }: CounterFamily): Readonly<Record<string, string>>[] {
  let rows: Record<string, string>[] = [{}];
  for (const [label, values] of Object.entries(labels)) {
    rows = rows.flatMap((row) => values.map((value) => ({ ...row, [label]: value })));
  }
  return rows;
}

function seriesOf(family: CounterFamily): Series[] {
  const { name, bounds } = family;
  if (!bounds) return labelValues(family).map((labels) => ({ name, labels }));
  const parts = [...bounds.map(String), "+Inf", SUM];
  return labelValues(family).flatMap((labels) => parts.map((part) => ({ name, labels, part })));
}

function sizeOf({ labels, bounds }: CounterFamily): number {
  const numbers = bounds ? bounds.length + 2 : 1;
  return Object.values(labels).reduce((size, values) => size * values.length, numbers);
}

function keyOf({ name, labels, part }: Series): string {
  // Another version may declare the labels in another order.
  const sorted = Object.entries(labels).sort(([a], [b]) => a < b ? -1 : 1);
  return JSON.stringify([name, sorted, part]);
}

function matches(series: Series, name: string, labels: Readonly<Record<string, string>>): boolean {
  return series.name === name &&
    Object.entries(labels).every(([label, value]) => series.labels[label] === value);
}

/** Byte counts may exceed the exact integers of a double; the limit keeps sums finite. */
function isCount(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_COUNT;
}

const MAX_COUNT = 2 ** 63;
