/** All metrics: what is counted, what follows from it, and what the status document says. */
import type { CounterFamily, CounterTotals } from "../base/counters.ts";
import { connectionFamilies, type CountedNames, OTHER } from "../connection/counters.ts";
import { countedMetrics } from "../status/counted.ts";
import { FACT_FAMILIES, factMetrics, type Facts } from "../status/facts.ts";
import { type MetricFamily, PREFIX } from "../status/metric.ts";
import { MASTER_FAMILIES, MAX_FRONTENDS, MAX_PROTOCOLS } from "./counters.ts";

/** What is counted, and since when in seconds since 1970. */
export interface Counted {
  readonly totals: CounterTotals;
  readonly names: CountedNames;
  readonly since: number;
}

const OPEN = {
  name: "connections_open",
  type: "gauge",
  help: "Connections that are open on at least one side.",
} as const;

/** Returns all metrics. No two have the same name, and none has two samples with the same labels. */
export function metricsOf(facts: Facts, { totals, names, since }: Counted): MetricFamily[] {
  const families = [...MASTER_FAMILIES, ...connectionFamilies(names)];
  const counted = countedMetrics(families, totals.all, since);
  return [...counted, openConnections(counted), ...factMetrics(facts, since)];
}

/** Accepted connections that are not closed. */
function openConnections(counted: readonly MetricFamily[]): MetricFamily {
  const samplesOf = (wanted: string) =>
    counted.flatMap((family) =>
      family.name === `${PREFIX}${wanted}` && family.type === "counter" ? family.samples : []
    );
  const closed = new Map(
    samplesOf("connections_closed_total").map(({ labels, value }) => [labels.frontend, value]),
  );
  return {
    ...{ ...OPEN, name: `${PREFIX}${OPEN.name}` },
    samples: samplesOf("connections_accepted_total").map(({ labels, value }) => ({
      labels,
      value: Math.max(0, value - (closed.get(labels.frontend) ?? 0)),
    })),
  };
}

/** A metric for the documentation. */
export interface DocumentedMetric {
  readonly name: string;
  readonly type: MetricFamily["type"];
  readonly help: string;
  /** The values of each label, in words. */
  readonly labels: Readonly<Record<string, string>>;
}

/** Returns the declarations of all metrics, by name. */
export function documentedMetrics(): DocumentedMetric[] {
  const families = [...MASTER_FAMILIES, ...connectionFamilies({ frontends: [], alpn: [] })];
  const counted = families.map((family): DocumentedMetric => ({
    name: family.name,
    type: family.bounds ? "histogram" : "counter",
    help: family.help,
    labels: Object.fromEntries(
      Object.keys(family.labels).map((label) => [label, valuesText(family, label)]),
    ),
  }));
  const open = { ...OPEN, labels: { frontend: FRONTENDS } };
  return [...counted, open, ...FACT_FAMILIES]
    .map(({ name, type, help, labels }) => ({ name: `${PREFIX}${name}`, type, help, labels }))
    .sort((a, b) => a.name < b.name ? -1 : 1);
}

/** More values than this are counted instead of listed. */
const MAX_LISTED = 8;

const FRONTENDS =
  `addresses as configured, at most ${MAX_FRONTENDS} until the process ends, and \`${OTHER}\``;

function valuesText({ labels }: CounterFamily, label: string): string {
  if (label === "frontend") return FRONTENDS;
  if (label === "alpn") {
    return `negotiated protocols, at most ${MAX_PROTOCOLS} until the process ends, \`none\` and ` +
      `\`${OTHER}\``;
  }
  if (label === "code") return `${labels[label]!.length} codes, see failures.md`;
  const values = labels[label]!;
  if (values.length > MAX_LISTED) return `${values.length} values`;
  return values.map((value) => `\`${value}\``).join(", ");
}
