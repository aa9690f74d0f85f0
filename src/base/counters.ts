/**
 * Counters with labels. The process that counts adds to plain numbers; reports carry them to the
 * process that sums up, by name and labels.
 */

/** A counter with its labels, each of which has a fixed set of values. */
export interface CounterFamily {
  readonly name: string;
  /** One sentence for people, as in Prometheus. */
  readonly help: string;
  readonly labels: Readonly<Record<string, readonly string[]>>;
}

/** One number of a family. */
export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** What several sets of counters have in common. */
export interface CounterSums {
  /** Sums up the numbers of a family whose labels have these values; labels left out may have any. */
  total(name: string, labels?: Readonly<Record<string, string>>): number;
}

/** The numbers of each family that is not all zeros, by its name and without the zeros at its end. */
export type CounterReport = Readonly<Record<string, readonly number[]>>;

/** Parses a report in a decoded frame, which is not to be trusted; undefined if it is none. */
export function parseCounterReport(value: unknown): CounterReport | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const isReport = Object.values(value).every((each) => Array.isArray(each) && each.every(isCount));
  return isReport ? value as CounterReport : undefined;
}

/** Numbers that only grow, one for each combination of the label values of each family. */
export class CounterSet implements CounterSums {
  readonly families: readonly CounterFamily[];
  /**
   * All numbers: the families follow each other, and the last label of a family changes fastest. For
   * those who add to them at places that they know.
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
   * Takes over a newer report of a set with the same families, and calls `grown` with what was added
   * at each place. What a report says of other families is ignored, and so are numbers that shrank.
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

/** Sums of sets whose families may have different label values. Nothing is ever taken back. */
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

/** Bytes may exceed what a double counts one by one; the limit keeps sums finite. */
function isCount(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_COUNT;
}

const MAX_COUNT = 2 ** 63;
