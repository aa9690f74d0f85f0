/** Status documents of a busy service as the page shows them, made of {@link statusDocument}. */
import type { MetricFamily } from "../../src/status/metric.ts";
import type { CertificateStatus, Status } from "../../src/status/status.ts";
import { certificate as certificateOf, counter, statusDocument, worker } from "./small_status.ts";

/** Counters as they stand `seconds` after the start, under steady load. */
export function metricsAt(seconds: number): MetricFamily[] {
  const counted = (name: string, samples: [Record<string, string>, number][]): MetricFamily =>
    counter(
      `stud_${name}`,
      ...samples.map(([labels, each]) => [labels, Math.round(each * seconds)] as const),
    );
  const histogram = (name: string, counts: readonly number[]): MetricFamily => ({
    name: `stud_${name}`,
    help: "Help.",
    type: "histogram",
    bounds: [0.001, 0.002, 0.005, 0.01],
    samples: [{ labels: {}, counts: counts.map((each) => each * seconds), sum: seconds }],
  });
  const handshake = { result: "completed", version: "TLSv1.3", alpn: "h2" };
  return [
    {
      name: "stud_connections_open",
      help: "Help.",
      type: "gauge",
      samples: [{ labels: { frontend: "*:443" }, value: 300 + Math.round(seconds) % 50 }],
    },
    counted("connections_accepted_total", [[{ frontend: "*:443" }, 120]]),
    counted("handshakes_total", [
      [{ ...handshake, kind: "full" }, 40],
      [{ ...handshake, kind: "resumed" }, 75],
    ]),
    counted("client_bytes_total", [
      [{ direction: "received" }, 1_500_000],
      [{ direction: "sent" }, 24_000_000],
    ]),
    counted("connection_failures_total", [
      [{ source: "client", code: "handshake-failed" }, 2],
      [{ source: "backend", code: "backend-refused" }, 1],
    ]),
    counted("backend_connects_total", [
      [{ service: "default", result: "succeeded" }, 115],
      [{ service: "default", result: "failed" }, 1],
    ]),
    histogram("handshake_seconds", [10, 60, 40, 4, 1]),
    histogram("backend_connect_seconds", [90, 20, 4, 1, 0]),
  ];
}

const START = Date.parse("2026-03-01T10:00:00Z");

/** A document `seconds` after the start. */
export function statusAt(seconds: number, changes: Partial<Status> = {}): Status {
  const time = new Date(START + seconds * 1000).toISOString();
  const startedAt = new Date(START).toISOString();
  return statusDocument({
    time,
    build: {
      version: "0.1.0",
      runtime: "Bun 1.4.5",
      tls: "BoringSSL",
      capabilities: { resumption: true, versions: ["TLSv1.2", "TLSv1.3"] },
    },
    master: { pid: 100, startedAt, residentBytes: 45e6, eventLoopDelaySeconds: 0.001 },
    configuration: {
      dialect: "stud",
      files: [{ path: "/etc/stud/stud.conf", changedAt: startedAt }],
      loadedAt: startedAt,
    },
    reloads: { succeeded: 0, failed: 0, isRunning: false },
    generations: [{ number: 1, isCurrent: true, workers: 2, connections: 300 }],
    frontends: [{ name: "*:443", addresses: ["0.0.0.0:443", "[::]:443"], accepted: 9, open: 300 }],
    backends: [{ service: "default", address: "127.0.0.1:8000", state: "up", since: startedAt }],
    workers: workersOf(2),
    certificates: { total: 1, listed: [certificate({})], warningDays: 21 },
    tickets: { keyAgeSeconds: 3_000, source: "local" },
    metrics: metricsAt(seconds),
    ...changes,
  });
}

export function workersOf(count: number): Status["workers"] {
  return Array.from({ length: count }, (_, i) => ({
    ...worker(i + 1, 1001 + i, 150, 12_345),
    generation: 1,
    startedAt: new Date(START).toISOString(),
    residentBytes: 54e6,
    eventLoopDelaySeconds: 0.0021,
  }));
}

export function certificate(changes: Partial<CertificateStatus>): CertificateStatus {
  return {
    ...certificateOf(["www.example.com", "example.com"], 92),
    place: "/etc/stud/www.example.com.pem",
    notBefore: "2026-01-01T00:00:00Z",
    notAfter: "2026-06-01T00:00:00Z",
    ...changes,
  };
}

/** A service with a bit of everything that can be wrong. */
export function degradedAt(seconds: number): Status {
  const time = new Date(START + seconds * 1000 - 40_000).toISOString();
  return statusAt(seconds, {
    health: "degraded",
    problems: [
      {
        severity: "error",
        code: "certificate-expired",
        text:
          "the certificate for old.example in /etc/stud/old.pem has expired; renew it and reload",
      },
      {
        severity: "error",
        code: "backend-down",
        text: "the backend 127.0.0.1:8001 of api cannot be connected: connection refused",
      },
      {
        severity: "warning",
        code: "certificate-expires",
        text: "the certificate for shop.example in /etc/stud/shop.pem expires in 6 days; renew it",
      },
    ],
    backends: [
      { service: "default", address: "127.0.0.1:8000", state: "up", since: time },
      {
        service: "api",
        address: "127.0.0.1:8001",
        state: "down",
        since: time,
        cause: "connection refused",
      },
    ],
    certificates: {
      warningDays: 7,
      total: 3,
      listed: [
        certificate({ names: ["old.example"], place: "/etc/stud/old.pem", daysLeft: -2.5 }),
        certificate({ names: ["shop.example"], place: "/etc/stud/shop.pem", daysLeft: 6.2 }),
        certificate({ stapleAgeSeconds: 7_300 }),
      ],
    },
    reloads: {
      succeeded: 3,
      failed: 1,
      isRunning: false,
      last: {
        result: "failed",
        cause: "SIGHUP",
        finishedAt: time,
        seconds: 0.21,
        problems: ["/etc/stud/new.pem: no private key; add one to the file"],
      },
    },
    failures: [
      {
        time,
        worker: 1,
        client: "203.0.113.7:51000",
        source: "client",
        code: "handshake-failed",
        cause: "no common TLS version",
      },
      {
        time,
        worker: 2,
        client: "[2001:db8::7]:51000",
        source: "backend",
        code: "backend-refused",
        cause: "connection refused",
      },
    ],
  });
}
