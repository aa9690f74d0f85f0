/**
 * Writes metrics in Prometheus' text format 0.0.4 and in OpenMetrics 1.0. prom-client, the usual
 * library, counts by itself: it would be a second place for numbers that workers and predecessors
 * count, and lets nobody set a counter.
 */
import type { HistogramSample, Labels, MetricFamily } from "./metric.ts";

export type ExpositionFormat = "text" | "openmetrics";

/** The Content-Type of each format. */
export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/**
 * Writes the families, each with a name of its own, in this order. A family without samples is
 * omitted.
 */
export function expose(families: readonly MetricFamily[], format: ExpositionFormat): string {
  const write = format === "text" ? textLines : openMetricsLines;
  const lines = families.filter(({ samples }) => samples.length > 0).flatMap(write);
  if (format === "openmetrics") lines.push("# EOF");
  return lines.map((line) => `${line}\n`).join("");
}

function textLines(family: MetricFamily): string[] {
  const { name, help, type } = family;
  return [
    `# HELP ${name} ${escape(help, /[\\\n]/g)}`,
    `# TYPE ${name} ${type}`,
    ...sampleLines(family, name, String),
  ];
}

/** The name of a counter's family is without `_total`, that of information without `_info`. */
function openMetricsLines(family: MetricFamily): string[] {
  const { help, created } = family;
  const isInfo = family.type === "gauge" && family.name.endsWith("_info");
  const name = family.name.replace(family.type === "counter" ? /_total$/ : /_info$/, "");
  const unit = /_(seconds|bytes)$/.exec(name)?.[1];
  const lines = [
    `# TYPE ${name} ${isInfo ? "info" : family.type}`,
    ...(unit === undefined ? [] : [`# UNIT ${name} ${unit}`]),
    `# HELP ${name} ${escape(help, /[\\\n"]/g)}`,
  ];
  if (created === undefined) return [...lines, ...sampleLines(family, family.name, withFraction)];
  // The lines of one sample must not be interrupted by another.
  const samples = family.samples.flatMap((sample) => [
    ...sampleLines({ ...family, samples: [sample] } as MetricFamily, family.name, withFraction),
    `${name}_created${labelText(sample.labels)} ${created}`,
  ]);
  return [...lines, ...samples];
}

/** `boundText` writes the upper bound of a bucket, if it is an integer. */
function sampleLines(
  family: MetricFamily,
  name: string,
  boundText: (bound: number) => string,
): string[] {
  if (family.type === "histogram") {
    const bounds = [...family.bounds.map((bound) => textOfBound(bound, boundText)), "+Inf"];
    return family.samples.flatMap((sample) => histogramLines(name, bounds, sample));
  }
  return family.samples.map(({ labels, value }) =>
    `${name}${labelText(labels)} ${numberText(value)}`
  );
}

function histogramLines(
  name: string,
  bounds: readonly string[],
  { labels, counts, sum }: HistogramSample,
): string[] {
  let count = 0;
  const buckets = bounds.map((le, i) => {
    count += counts[i] ?? 0;
    return `${name}_bucket${labelText({ ...labels, le })} ${numberText(count)}`;
  });
  const text = labelText(labels);
  return [
    ...buckets,
    `${name}_sum${text} ${numberText(sum)}`,
    `${name}_count${text} ${numberText(count)}`,
  ];
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels)
    .map(([label, value]) => `${label}="${escape(value, /[\\\n"]/g)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escape(text: string, special: RegExp): string {
  return text.replace(special, (found) => found === "\n" ? "\\n" : `\\${found}`);
}

function numberText(value: number): string {
  return Number.isFinite(value) || Number.isNaN(value) ? `${value}` : value > 0 ? "+Inf" : "-Inf";
}

/** As Go writes it, in whose programs the label is compared as text: `1e+06` from a million on. */
function textOfBound(bound: number, integer: (bound: number) => string): string {
  if (bound >= 1e6) return bound.toExponential().replace(/\+(\d)$/, "+0$1");
  return Number.isInteger(bound) ? integer(bound) : `${bound}`;
}

function withFraction(bound: number): string {
  return `${bound}.0`;
}
