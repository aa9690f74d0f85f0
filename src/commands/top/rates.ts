/** What happened per second between two status documents. */
import { increase, mean, observed, total } from "../../status/increase.ts";
import type { Labels } from "../../status/metric.ts";
import type { Status } from "../../status/status.ts";
import { secondsBetween } from "../format.ts";

/** Each is undefined if it is not known: the build does not report it, or there was nothing. */
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

const HANDSHAKES = "stud_handshakes_total";
/** Of a failed handshake no build knows the kind. */
const UNKNOWN = { result: "completed", kind: "unknown" };

/** Returns the rates; none if no time has passed. */
export function ratesBetween(before: Status, now: Status): Rates {
  const seconds = secondsBetween(before.time, now.time);
  if (!(seconds > 0)) return NO_RATES;
  const rate = (name: string, labels?: Labels) => {
    const more = increase(before.metrics, now.metrics, name, labels);
    return more === undefined ? undefined : more / seconds;
  };
  const meanOf = (name: string) => mean(observed(before.metrics, now.metrics, name));
  const isUnknown = (total(now.metrics, HANDSHAKES, UNKNOWN) ?? 0) > 0;
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
    handshakeSeconds: meanOf("stud_handshake_seconds"),
    connectSeconds: meanOf("stud_backend_connect_seconds"),
    workers: new Map(
      now.workers.map(({ pid, accepted: count }) => [
        pid,
        Math.max(0, count - (accepted.get(pid) ?? 0)) / seconds,
      ]),
    ),
  };
}
