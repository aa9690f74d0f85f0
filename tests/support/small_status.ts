/** A status document as a running stud could make it. */
import type { MetricFamily } from "../../src/status/metric.ts";
import { type Status, STATUS_VERSION } from "../../src/status/status.ts";

/** Returns a document of a service that is well; `changes` replaces members. */
export function statusDocument(changes: Partial<Status> = {}): Status {
  return {
    version: STATUS_VERSION,
    time: "2026-11-30T12:00:00.000Z",
    health: "well",
    problems: [],
    ready: { isReady: true },
    build: { version: "1.2.3", runtime: "Bun 1.4.5", tls: "BoringSSL", capabilities: {} },
    master: {
      pid: 4711,
      startedAt: "2026-11-27T08:00:00.000Z",
      residentBytes: 50_000_000,
      eventLoopDelaySeconds: 0.001,
    },
    configuration: {
      dialect: "stud",
      files: [{ path: "/etc/stud/stud.conf", changedAt: "2026-11-27T07:00:00.000Z" }],
      loadedAt: "2026-11-30T11:00:00.000Z",
    },
    reloads: {
      succeeded: 3,
      failed: 1,
      isRunning: false,
      last: {
        result: "succeeded",
        cause: "received SIGHUP",
        finishedAt: "2026-11-30T11:00:00.000Z",
        seconds: 0.42,
        problems: [],
      },
    },
    generations: [{ number: 4, isCurrent: true, workers: 2, connections: 21 }],
    frontends: [{ name: "*:443", addresses: ["*:443"], accepted: 123_456, open: 21 }],
    backends: [{
      service: "default",
      address: "127.0.0.1:8080",
      state: "up",
      since: "2026-11-30T09:00:00.000Z",
    }],
    workers: [worker(1, 5001, 20, 100_000), worker(2, 5002, 1, 23_456)],
    certificates: {
      total: 1,
      listed: [certificate(["example.com", "www.example.com"], 60)],
    },
    failures: [],
    log: { level: 1, droppedLines: 0 },
    metrics: [],
    ...changes,
  };
}

export function worker(
  slot: number,
  pid: number,
  connections: number,
  accepted: number,
): Status["workers"][number] {
  return {
    slot,
    pid,
    generation: 4,
    state: "serving",
    startedAt: "2026-11-30T11:00:00.000Z",
    connections,
    accepted,
    residentBytes: 60_000_000 + slot,
    eventLoopDelaySeconds: 0.002,
  };
}

export function certificate(
  names: readonly string[],
  daysLeft: number,
): Status["certificates"]["listed"][number] {
  return {
    names,
    place: "/etc/stud/example.com.pem",
    notBefore: "2026-11-01T00:00:00.000Z",
    notAfter: new Date(Date.UTC(2026, 10, 30, 12) + daysLeft * 86_400_000).toISOString(),
    daysLeft,
    key: "ECDSA P-256",
    issuer: "Example CA",
  };
}

/** Returns a counter with one series for each pair of labels and value. */
export function counter(
  name: string,
  ...samples: readonly (readonly [labels: Record<string, string>, value: number])[]
): MetricFamily {
  return {
    name,
    help: "A count.",
    type: "counter",
    samples: samples.map(([labels, value]) => ({ labels, value })),
  };
}
