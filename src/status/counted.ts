/** Counters and histograms as metrics. */
import { type CountedSeries, type CounterFamily, labelValues, SUM } from "../base/counters.ts";
import { type HistogramSample, type Labels, type MetricFamily, PREFIX } from "./metric.ts";

/** The numbers of one combination of label values; those of a histogram by its parts. */
interface Row {
  readonly labels: Labels;
  readonly numbers: CountedSeries[];
}

/**
 * Returns the metrics of declared families; numbers of others are omitted. `created` is when they
 * began, in seconds since 1970.
 */
export function countedMetrics(
  families: readonly CounterFamily[],
  numbers: readonly CountedSeries[],
  created: number,
): MetricFamily[] {
  const byName = Map.groupBy(numbers, ({ name }) => name);
  return families.map((family): MetricFamily => {
    const { help, bounds, fraction = 1 } = family;
    const rows = rowsOf(family, byName.get(family.name) ?? []);
    const common = { name: `${PREFIX}${family.name}`, help, created };
    if (bounds) {
      const samples = rows.map((row) => histogramSample(row, bounds, fraction));
      return { ...common, type: "histogram", bounds, samples };
    }
    const samples = rows.map(({ labels, numbers }) => ({ labels, value: sum(numbers) }));
    return { ...common, type: "counter", samples };
  });
}

function rowsOf(family: CounterFamily, numbers: readonly CountedSeries[]): Row[] {
  const rows = new Map<string, Row>();
  // In the order of the declaration.
  const order = Object.keys(family.labels);
  const rowOf = (labels: Labels) => {
    const known = Object.keys(labels).sort((a, b) => order.indexOf(a) - order.indexOf(b));
    const sorted = Object.fromEntries(known.map((label) => [label, labels[label]!]));
    const key = JSON.stringify(sorted);
    const row = rows.get(key) ?? { labels: sorted, numbers: [] };
    rows.set(key, row);
    return row;
  };
  if (family.showsZeros) labelValues(family).forEach(rowOf);
  for (const number of numbers) rowOf(number.labels).numbers.push(number);
  return [...rows.values()];
}

/** Another version, whose numbers were inherited, may have had other bounds. */
function histogramSample(
  { labels, numbers }: Row,
  bounds: readonly number[],
  fraction: number,
): HistogramSample {
  const counts = new Array<number>(bounds.length + 1).fill(0);
  for (const { part, value } of numbers) {
    if (part === undefined || part === SUM) continue;
    const bucket = bounds.findIndex((bound) => Number(part) <= bound);
    counts[bucket < 0 ? bounds.length : bucket]! += value;
  }
  return { labels, counts, sum: sum(numbers.filter(({ part }) => part === SUM)) / fraction };
}

function sum(numbers: readonly CountedSeries[]): number {
  return numbers.reduce((all, { value }) => all + value, 0);
}
