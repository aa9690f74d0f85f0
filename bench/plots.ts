/** The plots of the report. No I/O: it runs on every runtime. */
import { axisTo, barChart, lineChart } from "./plot.ts";
import type { Section } from "./report.ts";

/** Plots ratios to the base for all CPU time rows; undefined without any. */
export function plotCpu({ rows, columns, results, base }: Section): string | undefined {
  const series = columns.filter(({ name }) => name !== base);
  const groups = rows.filter((row) => row.operation).map((row) => ({
    title: row.name,
    bars: series.map(({ name }) => {
      const ratio = results.find(row.name, name)?.ratioTo(results.find(row.name, base));
      return ratio && { value: ratio.median, min: ratio.min, max: ratio.max };
    }),
  })).filter(({ bars }) => bars.some((bar) => bar));
  if (groups.length === 0) return undefined;
  const largest = Math.max(
    1,
    ...groups.flatMap(({ bars }) => bars.map((bar) => bar ? bar.max : 0)),
  );
  return barChart({
    title: `CPU time per operation, ratio to ${base} (lower is better)`,
    axis: axisTo(largest, `1 = ${base}; thin lines are the range over all rounds`),
    mark: 1,
    series: series.map(({ title }) => title),
    groups,
  });
}

/** Plots latency percentiles; undefined if latency was not measured. */
export function plotLatency({ rows, columns, results, latencyRate }: Section): string | undefined {
  const percentiles = rows.filter(({ name }) => name.startsWith("latency-"));
  const series = columns.map(({ name, title }) => ({
    title,
    values: percentiles.map((row) => {
      const value = results.find(row.name, name)?.value;
      return value === undefined ? undefined : value / 1000;
    }),
  }));
  const values = series.flatMap((each) => each.values).filter((value) => value !== undefined);
  if (values.length === 0) return undefined;
  return lineChart({
    title: `Latency of small requests at ${latencyRate} per second (lower is better)`,
    y: axisTo(Math.max(...values), "ms"),
    places: percentiles.map(({ title }) => title.replace("latency, ", "")),
    series,
  });
}
