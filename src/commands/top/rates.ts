/** What happened per second between two status documents. */
import type { MetricFamily } from "../../status/metric.ts";
import type { Status } from "../../status/status.ts";
import { secondsBetween } from "../format.ts";

/** Each is undefined if it cannot be known: the service restarted, or the build does not report it. */
export interface Rates {
  readonly accepted: number | undefined;
  readonly full: number | undefined;
  /** Where a build does not know which handshakes are resumed: all of them. */
  readonly handshakes: number | undefined;
  readonly resumed: number | undefined;
  readonly failures: number | undefined;
  /** Bytes per second from clients, and to them. */
  readonly received: number | undefined;
  readonly sent: number | undefined;
  /** The mean of the time that handshakes and backend connects took, in seconds. */
  readonly handshakeSeconds: number | undefined;
  readonly connectSeconds: number | undefined;
  /** Accepted connections by the worker's pid. */
  readonly workers: ReadonlyMap<number, number>;
}

export const NO_RATES: Rates = {
  accepted: undefined,
  full: undefined,
  handshakes: undefined,
  resumed: undefined,
  failures: undefined,
  received: undefined,
  sent: undefined,
  handshakeSeconds: undefined,
  connectSeconds: undefined,
  workers: new Map(),
};

/** Returns the rates; none if no time has passed. */
export function ratesBetween(before: Status, now: Status): Rates {
  const seconds = secondsBetween(before.time, now.time);
  if (!(seconds > 0)) return NO_RATES;
  const counted = (name: string, labels: Labels = {}) => {
    const from = total(before, name, labels);
    const to = total(now, name, labels);
    // A counter that appears has counted since it appeared; one that went back is another one.
    if (to === undefined || to < (from ?? 0)) return undefined;
    return to - (from ?? 0);
  };
  const rate = (name: string, labels?: Labels) => perSecond(counted(name, labels), seconds);
  const mean = (name: string) => {
    const from = histogram(before, name);
    const to = histogram(now, name);
    const count = to.count - from.count;
    return count > 0 && to.sum >= from.sum ? (to.sum - from.sum) / count : undefined;
  };
  const isUnknown = (total(now, HANDSHAKES, UNKNOWN) ?? 0) > 0;
  const accepted = new Map(before.workers.map((worker) => [worker.pid, worker.accepted]));
  return {
    accepted: rate("stud_connections_accepted_total"),
    ...(isUnknown
      ? { full: undefined, resumed: undefined, handshakes: rate(HANDSHAKES, UNKNOWN) }
      : {
        full: rate(HANDSHAKES, { kind: "full" }),
        resumed: rate(HANDSHAKES, { kind: "resumed" }),
        handshakes: undefined,
      }),
    failures: rate("stud_connection_failures_total"),
    received: rate("stud_client_bytes_total", { direction: "received" }),
    sent: rate("stud_client_bytes_total", { direction: "sent" }),
    handshakeSeconds: mean("stud_handshake_seconds"),
    connectSeconds: mean("stud_backend_connect_seconds"),
    workers: new Map(
      now.workers.map(({ pid, accepted: count }) => [
        pid,
        Math.max(0, count - (accepted.get(pid) ?? 0)) / seconds,
      ]),
    ),
  };
}

type Labels = Readonly<Record<string, string>>;

const HANDSHAKES = "stud_handshakes_total";
/** Of a failed handshake no build knows the kind. */
const UNKNOWN = { result: "completed", kind: "unknown" };

function perSecond(count: number | undefined, seconds: number): number | undefined {
  return count === undefined ? undefined : count / seconds;
}

/** The sum of a counter's series with these labels; undefined if there is no such counter. */
function total({ metrics }: Status, name: string, labels: Labels): number | undefined {
  if (!metrics.some((family) => family.name === name)) return undefined;
  const values = seriesOf(metrics, name)
    .filter((series) =>
      Object.entries(labels).every(([key, value]) => series.labels[key] === value)
    )
    .flatMap(({ value }) => typeof value === "number" ? [value] : []);
  return values.reduce((sum, value) => sum + value, 0);
}

function histogram({ metrics }: Status, name: string): { count: number; sum: number } {
  const all = { count: 0, sum: 0 };
  for (const { counts, sum } of seriesOf(metrics, name)) {
    if (!Array.isArray(counts) || typeof sum !== "number") continue;
    all.sum += sum;
    for (const count of counts) all.count += Number(count);
  }
  return all;
}

interface Series {
  readonly labels: Labels;
  readonly value?: unknown;
  readonly counts?: unknown;
  readonly sum?: unknown;
}

function seriesOf(metrics: readonly MetricFamily[], name: string): readonly Series[] {
  return metrics.filter((family) => family.name === name).flatMap(({ samples }) => [...samples]);
}
