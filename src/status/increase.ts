/** What has happened between two readings of the metrics: increases of counters, and quantiles. */
import type { HistogramFamily, Labels, MetricFamily } from "./metric.ts";

type Metrics = readonly MetricFamily[];

/** The observations of one or several series. */
export interface Distribution {
  readonly bounds: readonly number[];
  /** In each bucket; the last one is above all bounds. */
  readonly counts: readonly number[];
  /** Of the observed values. */
  readonly sum: number;
}

/** The sum of the samples with these labels; undefined if there is no such family. */
export function total(metrics: Metrics, name: string, labels: Labels = {}): number | undefined {
  const family = find(metrics, name);
  if (!family || family.type === "histogram") return undefined;
  return sum(family.samples.filter((sample) => matches(sample.labels, labels)), (s) => s.value);
}

/**
 * How much the counters with these labels have grown. A counter that is lower than before has started
 * anew at 0, as in Prometheus' `increase`; one that is new has started at 0, too.
 */
export function increase(
  before: Metrics,
  after: Metrics,
  name: string,
  labels: Labels = {},
): number | undefined {
  const family = find(after, name);
  if (!family || family.type === "histogram") return undefined;
  const old = find(before, name);
  const values = byLabels(old && old.type !== "histogram" ? old.samples : []);
  return sum(family.samples.filter((sample) => matches(sample.labels, labels)), (sample) => {
    const value = values.get(keyOf(sample.labels))?.value ?? 0;
    return sample.value < value ? sample.value : sample.value - value;
  });
}

/** The observations that a histogram's series with these labels have made; see {@link increase}. */
export function observed(
  before: Metrics,
  after: Metrics,
  name: string,
  labels: Labels = {},
): Distribution | undefined {
  const family = find(after, name);
  if (family?.type !== "histogram") return undefined;
  const old = find(before, name);
  const isComparable = old?.type === "histogram" && sameBounds(old, family);
  const samples = byLabels(isComparable ? old.samples : []);
  const counts = Array.from({ length: family.bounds.length + 1 }, () => 0);
  let all = 0;
  for (const sample of family.samples) {
    if (!matches(sample.labels, labels)) continue;
    const earlier = samples.get(keyOf(sample.labels));
    const isNew = sample.counts.some((count, i) => count < (earlier?.counts[i] ?? 0));
    const from = isNew ? undefined : earlier;
    counts.forEach((_, i) => counts[i]! += (sample.counts[i] ?? 0) - (from?.counts[i] ?? 0));
    all += sample.sum - (from?.sum ?? 0);
  }
  return { bounds: family.bounds, counts, sum: all };
}

/** The mean of the observed values; undefined without observations. */
export function mean(distribution: Distribution | undefined): number | undefined {
  const count = sum(distribution?.counts ?? [], (count) => count);
  return distribution && count > 0 ? distribution.sum / count : undefined;
}

/**
 * The value that the fraction `q` of the observations does not exceed, interpolated within its
 * bucket like Prometheus' `histogram_quantile`. Undefined without observations, Infinity if it is
 * above all bounds.
 */
export function quantile(
  { bounds, counts }: Pick<Distribution, "bounds" | "counts">,
  q: number,
): number | undefined {
  const all = sum(counts, (count) => count);
  if (all === 0) return undefined;
  const rank = q * all;
  let below = 0;
  for (const [i, bound] of bounds.entries()) {
    const count = counts[i]!;
    if (count > 0 && below + count >= rank) {
      const lower = bounds[i - 1] ?? 0;
      return lower + (bound - lower) * Math.max(0, rank - below) / count;
    }
    below += count;
  }
  return Infinity;
}

/** The family of this name. */
export function find(metrics: Metrics, name: string): MetricFamily | undefined {
  return metrics.find((family) => family.name === name);
}

function matches(labels: Labels, wanted: Labels): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value);
}

function byLabels<S extends { readonly labels: Labels }>(samples: readonly S[]): Map<string, S> {
  return new Map(samples.map((sample) => [keyOf(sample.labels), sample]));
}

function keyOf(labels: Labels): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => a < b ? -1 : 1));
}

function sameBounds(a: HistogramFamily, b: HistogramFamily): boolean {
  return a.bounds.length === b.bounds.length && a.bounds.every((bound, i) => bound === b.bounds[i]);
}

function sum<T>(items: readonly T[], valueOf: (item: T) => number): number {
  return items.reduce((so, item) => so + valueOf(item), 0);
}
