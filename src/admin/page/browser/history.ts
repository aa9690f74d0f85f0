/** The last minutes of what the page charts. */
import { find, increase, observed, quantile, total } from "../../../status/increase.ts";
import type { Labels, MetricFamily } from "../../../status/metric.ts";

/** What the charts show at most, in milliseconds. */
export const SPAN = 5 * 60_000;
/** Latencies are those of the observations in this time, in milliseconds: a second has too few. */
const LATENCY_SPAN = 10_000;
/** Readings further apart, in milliseconds, do not give a rate that a chart can show. */
const MAX_STEP = 5_000;

/** Rates are per second, times in seconds; undefined: not known. */
export interface Point {
  /** Milliseconds since 1970, by the service's clock. */
  readonly at: number;
  readonly connections?: number | undefined;
  readonly accepted?: number | undefined;
  readonly full?: number | undefined;
  readonly resumed?: number | undefined;
  /** Handshakes of builds that do not know their kind. */
  readonly handshakes?: number | undefined;
  readonly received?: number | undefined;
  readonly sent?: number | undefined;
  readonly handshake50?: number | undefined;
  readonly handshake99?: number | undefined;
  readonly connect50?: number | undefined;
  readonly connect99?: number | undefined;
  readonly failures?: number | undefined;
}

/** One line of the table of failures. */
export interface Cause {
  readonly source: string;
  readonly code: string;
  readonly total: number;
  /** Of them in the charted time, as far as the page was open. */
  readonly recent: number;
}

const FAILURES = "stud_connection_failures_total";
export const CONNECTS = "stud_backend_connects_total";
/** Counters of which increases over the whole charted time are shown. */
const KEPT: readonly string[] = [FAILURES, CONNECTS];

interface Reading {
  readonly at: number;
  readonly metrics: readonly MetricFamily[];
}

/** Made of the metrics of one status document after the other. */
export class History {
  readonly points: Point[] = [];
  /** Those of {@link LATENCY_SPAN}, the oldest first. */
  readonly #readings: Reading[] = [];
  /** Of the charted time, only {@link KEPT}. */
  readonly #kept: Reading[] = [];

  /** Adds the metrics read at `at`, in milliseconds since 1970. */
  add(at: number, metrics: readonly MetricFamily[]): void {
    const last = this.#readings.at(-1);
    // The same document again, or a clock that was set back.
    if (last && at <= last.at) {
      if (at === last.at) return;
      this.#forget();
    }
    if (last && at - last.at > MAX_STEP) this.#readings.length = 0;
    dropBefore(this.#readings, at - LATENCY_SPAN);
    dropBefore(this.#kept, at - SPAN);
    dropBefore(this.points, at - SPAN);
    this.points.push(pointOf(this.#readings, { at, metrics }));
    this.#readings.push({ at, metrics });
    this.#kept.push({ at, metrics: metrics.filter(({ name }) => KEPT.includes(name)) });
  }

  /** How much counters of {@link KEPT} have grown in the charted time, as far as the page was open. */
  recent(name: string, labels: Labels): number | undefined {
    const [first, last] = [this.#kept[0], this.#kept.at(-1)];
    return first && last && increase(first.metrics, last.metrics, name, labels);
  }

  /** Failures by cause, those with the most recent ones first. */
  causes(): Cause[] {
    const family = find(this.#kept.at(-1)?.metrics ?? [], FAILURES);
    if (!family || family.type === "histogram") return [];
    return family.samples
      .filter(({ value }) => value > 0)
      .map(({ labels, value }) => ({
        source: labels.source ?? "",
        code: labels.code ?? "",
        total: value,
        recent: this.recent(FAILURES, labels) ?? 0,
      }))
      .sort((a, b) => b.recent - a.recent || b.total - a.total);
  }

  #forget(): void {
    this.points.length = this.#readings.length = this.#kept.length = 0;
  }
}

const COMPLETED = { result: "completed" };

function pointOf(readings: readonly Reading[], now: Reading): Point {
  const { at, metrics } = now;
  const connections = total(metrics, "stud_connections_open");
  const last = readings.at(-1);
  const first = readings[0];
  if (!last || !first) return { at, connections };
  const seconds = (at - last.at) / 1000;
  const perSecond = (name: string, labels: Labels = {}) => {
    const more = increase(last.metrics, metrics, name, labels);
    return more === undefined ? undefined : more / seconds;
  };
  const handshakes = observed(first.metrics, metrics, "stud_handshake_seconds");
  const connects = observed(first.metrics, metrics, "stud_backend_connect_seconds");
  return {
    at,
    connections,
    accepted: perSecond("stud_connections_accepted_total"),
    full: perSecond("stud_handshakes_total", { ...COMPLETED, kind: "full" }),
    resumed: perSecond("stud_handshakes_total", { ...COMPLETED, kind: "resumed" }),
    handshakes: perSecond("stud_handshakes_total", { ...COMPLETED, kind: "unknown" }),
    received: perSecond("stud_client_bytes_total", { direction: "received" }),
    sent: perSecond("stud_client_bytes_total", { direction: "sent" }),
    handshake50: handshakes && quantile(handshakes, 0.5),
    handshake99: handshakes && quantile(handshakes, 0.99),
    connect50: connects && quantile(connects, 0.5),
    connect99: connects && quantile(connects, 0.99),
    failures: perSecond(FAILURES),
  };
}

/** The last one before `at` stays: what follows it is an increase since then. */
function dropBefore(items: { readonly at: number }[], at: number): void {
  const kept = items.findIndex((item) => item.at >= at);
  items.splice(0, Math.max(0, (kept < 0 ? items.length : kept) - 1));
}
