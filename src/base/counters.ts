/**
 * Counters with labels. The counting process increments plain numbers; reports carry them to the
 * process that adds them up by name and labels.
 */

/** A counter with labels, each with a fixed set of values. */
export interface CounterFamily {
  readonly name: string;
  /** One sentence, as Prometheus' HELP. */
  readonly help: string;
  readonly labels: Readonly<Record<string, readonly string[]>>;
}

/** One number of a family. */
export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Sums over counters. */
export interface CounterSums {
  /** Returns the sum of a family's numbers with these label values; omitted labels match all. */
  total(name: string, labels?: Readonly<Record<string, string>>): number;
}

/** The numbers of each nonzero family by its name, without trailing zeros. */
export type CounterReport = Readonly<Record<string, readonly number[]>>;

/** Parses a report in a decoded frame, which is untrusted; undefined if it is invalid. */
export function parseCounterReport(value: unknown): CounterReport | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const isReport = Object.values(value).every((each) => Array.isArray(each) && each.every(isCount));
  return isReport ? value as CounterReport : undefined;
}

/** Monotonic counters, one for each combination of label values of each family. */
export class CounterSet implements CounterSums {
  readonly families: readonly CounterFamily[];
  /**
   * All numbers: family after family, the last label of a family varying fastest. The hot path
   * increments them at precomputed places.
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

  report(): CounterReport {
    const found: Record<string, readonly number[]> = {};
    for (const [{ name }, start, end] of this.places()) {
      let last = end;
      while (last > start && this.values[last - 1] === 0) last--;
      if (last > start) found[name] = Array.from(this.values.subarray(start, last));
    }
    return found;
  }

  /**
   * Applies a newer report of a set with the same families, and calls `grown` with the increase at
   * each place. Unknown families and decreased numbers are ignored.
   */
  update(report: CounterReport, grown: (place: number, by: number) => void): void {
    for (const [{ name }, start, end] of this.places()) {
      const numbers = report[name] ?? [];
      for (let place = start; place < end; place++) {
        const by = (numbers[place - start] ?? 0) - this.values[place]!;
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

/** Sums over sets whose families may have different label values. They never decrease. */
export class CounterTotals implements CounterSums {
  private readonly entries = new Map<string, { readonly series: Series; value: number }>();

  add(series: Series, by: number): void {
    const key = JSON.stringify([series.name, series.labels]);
    const entry = this.entries.get(key);
    if (entry) entry.value += by;
    else this.entries.set(key, { series, value: by });
  }

  total(name: string, labels: Readonly<Record<string, string>> = {}): number {
    let sum = 0;
    for (const { series, value } of this.entries.values()) {
      if (matches(series, name, labels)) sum += value;
    }
    return sum;
  }
}

function seriesOf({ name, labels }: CounterFamily): Series[] {
  let rows: Record<string, string>[] = [{}];
  for (const [label, values] of Object.entries(labels)) {
    rows = rows.flatMap((row) => values.map((value) => ({ ...row, [label]: value })));
  }
  return rows.map((row) => ({ name, labels: row }));
}

function sizeOf({ labels }: CounterFamily): number {
  return Object.values(labels).reduce((size, values) => size * values.length, 1);
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
