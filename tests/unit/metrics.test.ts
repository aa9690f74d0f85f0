import { test } from "node:test";
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { CounterTotals } from "../../src/base/counters.ts";
import { ConnectionCounters } from "../../src/connection/counters.ts";
import { Counts } from "../../src/master/counts.ts";
import { documentedMetrics, metricsOf } from "../../src/master/metrics.ts";
import { countedMetrics } from "../../src/status/counted.ts";
import { expose } from "../../src/status/exposition.ts";
import type { Facts } from "../../src/status/facts.ts";
import { readMarked } from "../../scripts/marked.ts";
import { metricTable } from "../../scripts/metric_table.ts";

const since = 1_700_000_000;
const time = "2026-01-02T03:04:05.500Z";
const seconds = Date.parse(time) / 1000;

function certificate(more: { names: string[]; place: string; notAfter: string }) {
  return { notBefore: time, daysLeft: 1, key: "ECDSA P-256", issuer: "CA", ...more };
}

const worker = {
  pid: 1,
  generation: 2,
  state: "serving",
  connections: 0,
  accepted: 0,
} as const;

const facts: Facts = {
  ...{ version: 1, time, health: "degraded" },
  problems: [{ severity: "warning", code: "backend-down", text: "down" }],
  ready: { isReady: false, reason: "draining" },
  build: { version: "1.2.3", runtime: 'a "b"', tls: "c", capabilities: {} },
  master: { pid: 1, startedAt: time, residentBytes: 1000, eventLoopDelaySeconds: 0.25 },
  configuration: { dialect: "stud", files: [], loadedAt: time },
  reloads: {
    ...{ succeeded: 3, failed: 1, isRunning: false },
    inProgress: [{ state: "waiting", cause: "SIGHUP", since: time }],
    last: { result: "failed", cause: "SIGHUP", finishedAt: time, seconds: 1.5, problems: ["x"] },
  },
  generations: [
    { number: 2, isCurrent: true, workers: 1, connections: 5 },
    { number: 1, isCurrent: false, workers: 2, connections: 7 },
  ],
  frontends: [],
  backends: [{ service: "default", address: "a", state: "down", since: time, cause: "refused" }],
  workers: [
    { ...worker, slot: 1, residentBytes: 10, eventLoopDelaySeconds: 0.1 },
    { ...worker, slot: 1, generation: 1, residentBytes: 20, eventLoopDelaySeconds: 0.2 },
    { ...worker, slot: 2, generation: 1, residentBytes: 30, eventLoopDelaySeconds: 0.3 },
  ],
  certificates: {
    total: 5,
    listed: [
      certificate({ names: ["a", "b"], place: "/x", notAfter: time }),
      certificate({ names: ["a"], place: "/x", notAfter: "2027-01-01T00:00:00.000Z" }),
      { ...certificate({ names: [], place: "/y", notAfter: time }), stapleAgeSeconds: 60 },
    ],
  },
  failures: [],
  tickets: { keyAgeSeconds: 42, source: "random" },
  log: { level: 1, droppedLines: 0 },
};

function lines(counters: CounterTotals, more: Partial<Facts> = {}): string[] {
  const counted = { totals: counters, names: { frontends: ["f", "g"], alpn: ["h2"] }, since };
  return expose(metricsOf({ ...facts, ...more }, counted), "text").split("\n");
}

function has(all: readonly string[], ...wanted: readonly string[]): void {
  for (const line of wanted) assert.ok(all.includes(line), line);
}

test("the facts of the status document are metrics", () => {
  const all = lines(new CounterTotals());
  has(
    all,
    'stud_build_info{version="1.2.3",runtime="a \\"b\\"",tls="c"} 1',
    `stud_start_time_seconds ${seconds}`,
    "stud_ready 0",
    'stud_problems{severity="error"} 0',
    'stud_problems{severity="warning"} 1',
    'stud_workers{state="serving"} 3',
    'stud_event_loop_delay_seconds{process="master"} 0.25',
    'stud_event_loop_delay_seconds{process="worker-1"} 0.1',
    'stud_event_loop_delay_seconds{process="draining"} 0.3',
    'stud_resident_memory_bytes{process="draining"} 50',
    "stud_generation 2",
    "stud_generations 2",
    'stud_generation_connections{generation="1"} 7',
    'stud_reloads_total{result="failed"} 1',
    'stud_reloads_in_progress{state="running"} 0',
    'stud_reloads_in_progress{state="waiting"} 1',
    "stud_last_reload_success 0",
    `stud_last_reload_timestamp_seconds ${seconds}`,
    "stud_last_reload_duration_seconds 1.5",
    'stud_backend_up{service="default"} 0',
    `stud_backend_state_since_timestamp_seconds{service="default"} ${seconds}`,
    "stud_certificates 5",
    `stud_certificate_not_after_timestamp_seconds{name="a",place="/x"} ${seconds}`,
    `stud_certificate_not_after_timestamp_seconds{name="b",place="/x"} ${seconds}`,
    `stud_certificate_not_after_timestamp_seconds{name="",place="/y"} ${seconds}`,
    'stud_ocsp_staple_age_seconds{place="/y"} 60',
    "stud_ticket_key_age_seconds 42",
  );
});

test("the table says what not every build knows", () => {
  const help = (name: string) => documentedMetrics().find((each) => each.name === name)!.help;
  assert.match(help("stud_handshake_groups_total"), /Node build only/);
  assert.match(help("stud_handshakes_total"), /on the Deno build neither version nor kind/);
});

test("what is unknown is absent, and what is well is 1", () => {
  const all = lines(new CounterTotals(), {
    reloads: { succeeded: 0, failed: 0, isRunning: false },
    backends: [{ service: "default", address: "a", state: "unknown" }],
    ready: { isReady: true },
  });
  has(all, "stud_last_reload_success 1", 'stud_backend_up{service="default"} 1', "stud_ready 1");
  const absent = /^stud_(last_reload_duration|backend_state_since)/;
  assert.deepEqual(all.filter((line) => absent.test(line)), []);
});

test("of many certificates each one's first name comes before other names, up to 1,000 series", () => {
  const names = Array.from({ length: 50 }, (_, i) => `name-${i}`);
  const listed = Array.from(
    { length: 990 },
    (_, i) => certificate({ names, place: `/${i}`, notAfter: time }),
  );
  const all = lines(new CounterTotals(), { certificates: { total: 990, listed } })
    .filter((line) => line.startsWith("stud_certificate_not_after_timestamp_seconds{"));
  assert.equal(all.length, 1000);
  assert.equal(all.filter((line) => line.includes('name="name-0"')).length, 990);
});

test("counters begin at 0, and connections are open until they are closed", () => {
  const totals = new CounterTotals();
  const add = (name: string, frontend: string, by: number) =>
    totals.add({ name: `connections_${name}_total`, labels: { frontend } }, by);
  add("accepted", "f", 7);
  add("closed", "f", 4);
  add("accepted", "formerly", 2);
  has(
    lines(totals),
    'stud_connections_accepted_total{frontend="f"} 7',
    'stud_connections_accepted_total{frontend="g"} 0',
    'stud_connections_accepted_total{frontend="formerly"} 2',
    'stud_connections_open{frontend="f"} 3',
    'stud_connections_open{frontend="g"} 0',
    'stud_connections_open{frontend="formerly"} 2',
    'stud_worker_exits_total{reason="signal"} 0',
    "stud_handshake_seconds_count 0",
  );
});

test("a worker's histogram is exposed in seconds", () => {
  const counters = new ConnectionCounters({ frontends: ["f"], alpn: [] });
  const totals = new CounterTotals();
  for (const milliseconds of [7, 7.172, 40_000]) counters.handshakeTook(milliseconds);
  for (const [place, series] of counters.series.entries()) {
    if (counters.values[place]! > 0) totals.add(series, counters.values[place]!);
  }
  has(
    lines(totals),
    'stud_handshake_seconds_bucket{le="0.005"} 0',
    'stud_handshake_seconds_bucket{le="0.01"} 2',
    'stud_handshake_seconds_bucket{le="30"} 2',
    'stud_handshake_seconds_bucket{le="+Inf"} 3',
    "stud_handshake_seconds_sum 40.014172",
    "stud_handshake_seconds_count 3",
  );
});

test("numbers of a version with other bounds and labels keep their place", () => {
  const family = {
    ...{ name: "x_seconds", help: "X.", labels: { a: ["1"] }, bounds: [1, 10] },
  };
  const inherited = [
    ["0.5", 1],
    ["2", 2],
    ["10", 4],
    ["100", 8],
    ["+Inf", 16],
    ["sum", 99],
  ] as const;
  const [metric] = countedMetrics(
    [family],
    inherited.map(([part, value]) => ({
      name: "x_seconds",
      labels: { b: "2", a: "1" },
      part,
      value,
    })),
    since,
  );
  assert.deepEqual(metric!.samples, [{
    ...{ labels: { b: "2", a: "1" }, counts: [1, 6, 24], sum: 99 },
  }]);
});

test("a successor continues with its predecessor's numbers, and closes its connections at its end", () => {
  const first = new Counts();
  const accepted = { name: "connections_accepted_total", labels: { frontend: "f" } };
  const closed = { ...accepted, name: "connections_closed_total" };
  first.totals.add(accepted, 10);
  first.totals.add(closed, 4);
  const second = new Counts(JSON.parse(JSON.stringify(first.handed)));
  assert.equal(second.since, first.since);
  second.totals.add(accepted, 1);
  const all = () => [accepted, closed].map(({ name, labels }) => second.totals.total(name, labels));
  assert.deepEqual(all(), [11, 4]);
  first.totals.add(accepted, 2);
  first.totals.add(closed, 3);
  for (let twice = 0; twice < 2; twice++) second.inherit(first.handed.numbers);
  assert.deepEqual(all(), [13, 7]);
  second.inherit([]);
  assert.deepEqual(all(), [13, 7]);
  for (let twice = 0; twice < 2; twice++) second.settle();
  assert.deepEqual(all(), [13, 12], "its own connection is open");
  const third = new Counts(second.handed);
  assert.equal(third.totals.total(accepted.name), 13);
});

test("every metric is documented once, with a unit, a help text and the values of its labels", () => {
  const all = documentedMetrics();
  assert.equal(new Set(all.map(({ name }) => name)).size, all.length);
  for (const { name, type, help, labels } of all) {
    assert.match(name, /^stud(_[a-z]+)+$/);
    assert.equal(name.endsWith("_total"), type === "counter", name);
    assert.match(help, /^[A-Z].*\.$/);
    for (const values of Object.values(labels)) assert.ok(values.length > 0, name);
  }
  const named = metricsOf(facts, {
    ...{ totals: new CounterTotals(), names: { frontends: [], alpn: [] }, since },
  }).map(({ name }) => name).toSorted();
  assert.deepEqual(all.map(({ name }) => name), named);
});

test("docs/monitoring.md has the table of metrics", () => {
  const page = fileURLToPath(new URL("../../docs/monitoring.md", import.meta.url));
  assert.equal(
    readMarked(page, "metrics"),
    metricTable(),
    "refresh it with: node scripts/monitoring.ts",
  );
});
