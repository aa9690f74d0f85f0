/** The counters of a worker's connections. Each is declared here, and nowhere else. */
import { type CounterFamily, CounterSet, observe } from "../base/counters.ts";
import { type ConnectionFailure, FAILURE_CODES, FAILURE_SOURCES } from "./failure.ts";
import { isHandshakeFailure, isOutage } from "./failure.ts";
import type { Measured } from "./measured.ts";

/** What counters count separately by name; the master bounds the number of names. */
export interface CountedNames {
  /** Of each frontend by its index; frontends may share a name. */
  readonly frontends: readonly string[];
  /** The ALPN protocols; those that are negotiated beside them are `other`. */
  readonly alpn: readonly string[];
}

/** The name of everything that is not counted separately. */
export const OTHER = "other";

/** What has reached its limit, by the option that sets it. */
export const LIMITS = [
  "max-connections",
  "max-worker-connections",
  "open-files",
  "max-handshakes",
  "max-source-connections",
  "max-source-rate",
] as const;

const VERSIONS = ["TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1.0", "unknown"] as const;
const KINDS = ["full", "resumed", "unknown"] as const;
/** Groups of key exchanges by OpenSSL's names. */
const GROUPS = [
  ...["X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024"],
  ...["x25519", "secp256r1", "secp384r1", "secp521r1", "x448", OTHER],
] as const;
const RESULTS = ["completed", "failed"] as const;

/** Microseconds in a second. */
const MICRO = 1e6;
const HANDSHAKE_BOUNDS = [
  ...[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
] as const;
const CONNECT_BOUNDS = [
  ...[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5],
  ...[1, 2.5, 5, 10],
] as const;
const DURATION_BOUNDS = [
  0.01,
  0.1,
  0.5,
  1,
  5,
  10,
  30,
  60,
  300,
  1800,
  3600,
  21_600,
  86_400,
] as const;
const SIZE_BOUNDS = [100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10] as const;

/** Returns the declarations. */
export function connectionFamilies(
  { frontends, alpn }: CountedNames,
): readonly CounterFamily[] {
  const frontend = [...new Set(frontends)];
  return [
    {
      name: "client_bytes_total",
      help: "Plain bytes received from clients and sent to them.",
      labels: { direction: ["received", "sent"] },
      showsZeros: true,
    },
    {
      name: "backend_connects_total",
      help:
        "Connections to the backend, with TLS including its handshake, that succeeded or failed.",
      labels: { service: ["default"], result: ["succeeded", "failed"] },
      showsZeros: true,
    },
    {
      name: "limits_reached_total",
      help: "How often a limit was reached, by the option that sets it.",
      labels: { limit: LIMITS },
      showsZeros: true,
    },
    {
      name: "log_lines_dropped_total",
      help: "Log lines that were lost because a log was full or too slow.",
      labels: { log: ["events", "access"] },
      showsZeros: true,
    },
    {
      name: "connection_failures_total",
      help: "Failed connections by source and reason.",
      labels: { source: FAILURE_SOURCES, code: FAILURE_CODES },
    },
    {
      name: "handshake_groups_total",
      help: "Key exchanges of completed TLS handshakes with clients, by group (Node build only).",
      labels: { group: GROUPS },
    },
    {
      name: "handshake_seconds",
      help: "Time from the accept of a connection to the end of its TLS handshake.",
      labels: {},
      bounds: HANDSHAKE_BOUNDS,
      fraction: MICRO,
      showsZeros: true,
    },
    {
      name: "backend_connect_seconds",
      help: "Time to connect to the backend, with TLS including its handshake.",
      labels: { service: ["default"] },
      bounds: CONNECT_BOUNDS,
      fraction: MICRO,
      showsZeros: true,
    },
    {
      name: "connection_seconds",
      help: "Time from the accept of a connection to its close.",
      labels: {},
      bounds: DURATION_BOUNDS,
      fraction: MICRO,
      showsZeros: true,
    },
    {
      name: "connection_bytes",
      help: "Plain bytes of a closed connection, received from its client or sent to it.",
      labels: { direction: ["received", "sent"] },
      bounds: SIZE_BOUNDS,
      showsZeros: true,
    },
    {
      name: "connections_accepted_total",
      help: "Connections accepted from clients.",
      labels: { frontend },
      showsZeros: true,
    },
    {
      name: "connections_closed_total",
      help: "Accepted connections that are closed on both sides.",
      labels: { frontend },
      showsZeros: true,
    },
    {
      name: "handshakes_total",
      help: "TLS handshakes with clients; of a failed one only the failure is known, and on the " +
        "Deno build neither version nor kind.",
      labels: { result: RESULTS, version: VERSIONS, kind: KINDS, alpn: [...alpn, "none", OTHER] },
    },
  ];
}

// Places in `ConnectionCounters.values`, in the order of the declaration above.
export const BYTES_RECEIVED = 0;
export const BYTES_SENT = 1;
export const CONNECTED = 2;
const CONNECT_FAILED = 3;
const LIMITS_REACHED = 4;
export const LINES_DROPPED = LIMITS_REACHED + LIMITS.length;
export const ACCESS_LINES_DROPPED = LINES_DROPPED + 1;
const FAILURES = ACCESS_LINES_DROPPED + 1;
const HANDSHAKE_GROUPS = FAILURES + FAILURE_SOURCES.length * FAILURE_CODES.length;
const HANDSHAKE_SECONDS = HANDSHAKE_GROUPS + GROUPS.length;
/** A histogram has its buckets, one above all bounds, and the sum. */
const CONNECT_SECONDS = HANDSHAKE_SECONDS + HANDSHAKE_BOUNDS.length + 2;
const CONNECTION_SECONDS = CONNECT_SECONDS + CONNECT_BOUNDS.length + 2;
const CONNECTION_RECEIVED = CONNECTION_SECONDS + DURATION_BOUNDS.length + 2;
const CONNECTION_SENT = CONNECTION_RECEIVED + SIZE_BOUNDS.length + 2;
const ACCEPTED = CONNECTION_SENT + SIZE_BOUNDS.length + 2;

/** The counters of one worker, or the sums of several that count the same names. */
export class ConnectionCounters extends CounterSet {
  private readonly alpn: readonly string[];
  /** By the frontend's index: its place among the names. */
  private readonly frontends: readonly number[];
  private readonly closedPlace: number;
  private readonly handshakesPlace: number;

  constructor(counted: CountedNames) {
    super(connectionFamilies(counted));
    const names = [...new Set(counted.frontends)];
    this.alpn = counted.alpn;
    this.frontends = counted.frontends.map((name) => names.indexOf(name));
    this.closedPlace = ACCEPTED + names.length;
    this.handshakesPlace = this.closedPlace + names.length;
  }

  /** Counts an accepted connection; `frontend` is the frontend's index. */
  accepted(frontend: number): void {
    this.values[ACCEPTED + this.frontends[frontend]!]!++;
  }

  /** Counts a connection as closed, with what was measured of it. */
  closed(frontend: number, measured: Measured | undefined): void {
    const { values } = this;
    values[this.closedPlace + this.frontends[frontend]!]!++;
    if (!measured) return;
    observeTime(values, CONNECTION_SECONDS, DURATION_BOUNDS, measured.totalMs!);
    const { received, sent } = measured;
    observe(values, CONNECTION_RECEIVED, SIZE_BOUNDS, received, received);
    observe(values, CONNECTION_SENT, SIZE_BOUNDS, sent, sent);
  }

  /** Counts a failed connection. */
  failed(failure: Pick<ConnectionFailure, "source" | "code">): void {
    const { values } = this;
    const row = FAILURE_SOURCES.indexOf(failure.source) * FAILURE_CODES.length;
    values[FAILURES + row + FAILURE_CODES.indexOf(failure.code)]!++;
    if (isOutage(failure)) values[CONNECT_FAILED]!++;
    const limit = LIMIT_OF[failure.code];
    if (limit) this.limitReached(limit);
  }

  /** Counts a failed handshake with a client, if the failure is one. */
  handshakeFailed(failure: Pick<ConnectionFailure, "code">): void {
    if (!isHandshakeFailure(failure)) return;
    this.values[this.handshakePlace(1, undefined, undefined, undefined)]!++;
  }

  /** Counts a handshake with a client; `undefined` is what the TLS library does not report. */
  handshakeDone(
    version: string | undefined,
    isResumed: boolean | undefined,
    alpn: string | undefined,
  ): void {
    this.values[this.handshakePlace(0, version, isResumed, alpn)]!++;
  }

  /** Counts the group of a key exchange with a client. */
  exchanged(group: string): void {
    const index = (GROUPS as readonly string[]).indexOf(group);
    this.values[HANDSHAKE_GROUPS + (index < 0 ? GROUPS.length - 1 : index)]!++;
  }

  /** Counts the time of a handshake with a client, in milliseconds. */
  handshakeTook(milliseconds: number): void {
    observeTime(this.values, HANDSHAKE_SECONDS, HANDSHAKE_BOUNDS, milliseconds);
  }

  /** Counts the time of a connect to the backend, in milliseconds. */
  connectTook(milliseconds: number): void {
    observeTime(this.values, CONNECT_SECONDS, CONNECT_BOUNDS, milliseconds);
  }

  limitReached(limit: (typeof LIMITS)[number]): void {
    this.values[LIMITS_REACHED + LIMITS.indexOf(limit)]!++;
  }

  private handshakePlace(
    result: 0 | 1,
    version: string | undefined,
    isResumed: boolean | undefined,
    alpn: string | undefined,
  ): number {
    const kind = isResumed === undefined ? 2 : isResumed ? 1 : 0;
    const row = (result * VERSIONS.length + versionIndex(version)) * KINDS.length + kind;
    return this.handshakesPlace + row * (this.alpn.length + 2) + this.alpnIndex(alpn);
  }

  private alpnIndex(protocol: string | undefined): number {
    const { alpn } = this;
    if (protocol === undefined) return alpn.length;
    const index = alpn.indexOf(protocol);
    return index < 0 ? alpn.length + 1 : index;
  }
}

/** The limit behind a failure. */
const LIMIT_OF: Readonly<Partial<Record<ConnectionFailure["code"], (typeof LIMITS)[number]>>> = {
  "handshake-evicted": "max-handshakes",
  "source-limit": "max-source-connections",
  "source-rate": "max-source-rate",
};

function observeTime(
  values: Float64Array,
  place: number,
  bounds: readonly number[],
  milliseconds: number,
): void {
  observe(values, place, bounds, milliseconds / 1000, Math.round(milliseconds * 1000));
}

function versionIndex(version: string | undefined): number {
  switch (version) {
    case "TLSv1.3":
      return 0;
    case "TLSv1.2":
      return 1;
    case "TLSv1.1":
      return 2;
    // The libraries' name for TLS 1.0.
    case "TLSv1":
      return 3;
    default:
      return 4;
  }
}
