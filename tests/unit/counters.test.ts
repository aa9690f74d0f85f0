import { test } from "node:test";
import assert from "node:assert/strict";
import { CounterSet, CounterTotals, parseCounterReport } from "../../src/base/counters.ts";
import {
  ACCESS_LINES_DROPPED,
  BYTES_RECEIVED,
  BYTES_SENT,
  CONNECTED,
  ConnectionCounters,
  LIMITS,
  LINES_DROPPED,
} from "../../src/connection/counters.ts";
import {
  type ConnectionFailure,
  FAILURE_CODES,
  FAILURE_SOURCES,
} from "../../src/connection/failure.ts";
import { MAX_FRONTENDS, MAX_PROTOCOLS, SeparateNames } from "../../src/master/counters.ts";
import { frame, MAX_FRAME_UP } from "../../src/control/channel.ts";
import { clientAt, fakeConnections, FakeStream, frontendAt } from "../support/fake_streams.ts";

type FailureCode = ConnectionFailure["code"];

const ignore = () => {};

function counting(alpn: readonly string[], frontends: readonly string[] = ["front"]) {
  return new ConnectionCounters({ alpn, frontends });
}

/** The one number that is not 0, with its name and labels. */
function counted(counters: CounterSet): [string, Readonly<Record<string, string>>, number] {
  const places = [...counters.values.keys()].filter((place) => counters.values[place] !== 0);
  assert.equal(places.length, 1);
  const { name, labels } = counters.series[places[0]!]!;
  return [name, labels, counters.values[places[0]!]!];
}

test("every counter has a valid Prometheus name, a help text and unique label values", () => {
  const { families, series, values } = counting(["h2", "http/1.1"], ["a", "other", "b", "other"]);
  assert.equal(series.length, values.length);
  for (const { name, help, labels } of families) {
    assert.match(name, /^[a-z]+(_[a-z]+)*_(total|seconds|bytes)$/);
    assert.match(help, /^[A-Z].*\.$/);
    for (const [label, of] of Object.entries(labels)) {
      assert.match(label, /^[a-z]+$/);
      assert.equal(new Set(of).size, of.length, `${name} ${label}`);
    }
  }
});

test("the hot path's indexes are those of their series", () => {
  const expected = [
    [BYTES_RECEIVED, "client_bytes_total", { direction: "received" }],
    [BYTES_SENT, "client_bytes_total", { direction: "sent" }],
    [CONNECTED, "backend_connects_total", { service: "default", result: "succeeded" }],
    [LINES_DROPPED, "log_lines_dropped_total", { log: "events" }],
    [ACCESS_LINES_DROPPED, "log_lines_dropped_total", { log: "access" }],
  ] as const;
  for (const [place, name, labels] of expected) {
    const counters = counting([]);
    counters.values[place] = 7;
    assert.deepEqual(counted(counters), [name, labels, 7]);
  }
});

test("a handshake is counted by version, kind and ALPN protocol", () => {
  const cases = [
    [["TLSv1.3", false, "h2"], ["TLSv1.3", "full", "h2"]],
    [["TLSv1.3", true, "http/1.1"], ["TLSv1.3", "resumed", "http/1.1"]],
    [["TLSv1.2", true, undefined], ["TLSv1.2", "resumed", "none"]],
    [["TLSv1.1", false, "spdy/1"], ["TLSv1.1", "full", "other"]],
    [["TLSv1", false, "h2"], ["TLSv1.0", "full", "h2"]],
    [["TLSv1.9", false, "h2"], ["unknown", "full", "h2"]],
    [[undefined, undefined, "h2"], ["unknown", "unknown", "h2"]],
  ] as const;
  for (const [[tlsVersion, isResumed, protocol], [version, kind, alpn]] of cases) {
    const counters = counting(["h2", "http/1.1"]);
    counters.handshakeDone(tlsVersion, isResumed, protocol);
    const labels = { result: "completed", version, kind, alpn };
    assert.deepEqual(counted(counters), ["handshakes_total", labels, 1]);
  }
});

test("a failed handshake is counted as such, a client that leaves before it begins one is not", () => {
  const counters = counting(["h2"]);
  counters.handshakeFailed({ code: "client-left" });
  counters.handshakeFailed({ code: "source-limit" });
  counters.handshakeFailed({ code: "backend-refused" });
  assert.equal(counters.total("handshakes_total"), 0);
  const codes = [
    "handshake-failed",
    "handshake-timeout",
    "handshake-evicted",
    "client-certificate",
  ];
  for (const code of codes as FailureCode[]) counters.handshakeFailed({ code });
  const labels = { result: "failed", version: "unknown", kind: "unknown", alpn: "none" };
  assert.deepEqual(counted(counters), ["handshakes_total", labels, 4]);
});

test("key exchanges are counted by group, unknown ones together", () => {
  const counters = counting([]);
  for (const group of ["X25519MLKEM768", "x25519", "x25519", "ffdhe2048"]) {
    counters.exchanged(group);
  }
  assert.deepEqual(
    ["X25519MLKEM768", "x25519", "other"].map((group) =>
      counters.total("handshake_groups_total", { group })
    ),
    [1, 2, 1],
  );
});

test("connections are counted by frontend; frontends may share a name", () => {
  const counters = counting(["h2"], ["a", "other", "b", "other"]);
  for (const frontend of [0, 1, 2, 3, 3]) counters.accepted(frontend);
  for (const frontend of [1, 3]) counters.closed(frontend, undefined);
  const of = (name: string) =>
    ["a", "b", "other"].map((frontend) => counters.total(name, { frontend }));
  assert.deepEqual(of("connections_accepted_total"), [1, 1, 3]);
  assert.deepEqual(of("connections_closed_total"), [0, 0, 2]);
});

test("limits that refuse a client are counted by the option that sets them", () => {
  const counters = counting([]);
  counters.failed({ source: "client", code: "source-rate" });
  counters.failed({ source: "client", code: "source-limit" });
  counters.failed({ source: "client", code: "handshake-evicted" });
  counters.limitReached("open-files");
  assert.deepEqual(
    LIMITS.map((limit) => counters.total("limits_reached_total", { limit })),
    [0, 0, 1, 1, 1, 1],
  );
});

test("every failure is counted by source and code", () => {
  for (const source of FAILURE_SOURCES) {
    for (const code of FAILURE_CODES) {
      const counters = counting([]);
      counters.failed({ source, code });
      assert.equal(counters.total("connection_failures_total", { source, code }), 1);
      assert.equal(counters.total("connection_failures_total"), 1);
    }
  }
});

test("connections are counted with their handshakes, failures and bytes", () => {
  const { connections, connects } = fakeConnections({ alpn: ["h2"] });
  const { counters } = connections;
  const facts = { version: "TLSv1.3", resumed: true, alpn: "h2" };
  const client: FakeStream = new FakeStream(undefined!, clientAt, frontendAt, facts);
  const handler = client.handler = connections.accept(client, 0);
  assert.equal(counters.total("connections_accepted_total"), 1);
  assert.equal(counters.total("handshakes_total"), 0);
  handler.opened(client);
  assert.equal(
    counters.total("handshakes_total", { version: "TLSv1.3", kind: "resumed", alpn: "h2" }),
    1,
  );
  const backend = connects[0]!.stream;
  assert.equal(counters.total("backend_connects_total"), 0);
  handler.opened(backend);
  assert.equal(counters.total("backend_connects_total", { result: "succeeded" }), 1);
  handler.received(client, new Uint8Array(100));
  handler.received(client, new Uint8Array(23));
  handler.received(backend, new Uint8Array(45_678));
  assert.equal(counters.total("client_bytes_total", { direction: "received" }), 123);
  assert.equal(counters.total("client_bytes_total", { direction: "sent" }), 45_678);
  assert.equal(counters.total("connection_failures_total"), 0);
  handler.closed(backend, { code: "ECONNRESET", message: "reset" });
  handler.closed(client, undefined);
  assert.equal(
    counters.total("connection_failures_total", { source: "backend", code: "backend-reset" }),
    1,
  );
  assert.equal(counters.total("connection_failures_total"), 1);
  assert.equal(counters.total("connections_closed_total", { frontend: "front" }), 1);
  assert.equal(
    counters.total("handshake_seconds"),
    0,
    "nothing is measured unless it is asked for",
  );
});

test("times and sizes are measured in a histogram's buckets and sum", () => {
  const { clock, connections, connects } = fakeConnections({ measures: true });
  const { counters } = connections;
  const client: FakeStream = new FakeStream(undefined!, clientAt, frontendAt, {});
  const handler = client.handler = connections.accept(client, 0);
  clock.advance(30);
  handler.opened(client);
  const backend = connects[0]!.stream;
  clock.advance(2.5);
  handler.opened(backend);
  handler.received(client, new Uint8Array(100));
  handler.received(client, new Uint8Array(1));
  handler.received(backend, new Uint8Array(20_000));
  clock.advance(7000);
  handler.ended(client);
  handler.ended(backend);
  handler.closed(client, undefined);
  handler.closed(backend, undefined);
  const nonzero = counters.series.flatMap(({ name, labels, part }, place) =>
    part !== undefined && counters.values[place]! > 0
      ? [[name, labels.direction ?? "", part, counters.values[place]]]
      : []
  );
  assert.deepEqual(nonzero, [
    ["handshake_seconds", "", "0.05", 1],
    ["handshake_seconds", "", "sum", 30_000],
    ["backend_connect_seconds", "", "0.0025", 1],
    ["backend_connect_seconds", "", "sum", 2500],
    ["connection_seconds", "", "10", 1],
    ["connection_seconds", "", "sum", 7_032_500],
    ["connection_bytes", "received", "1000", 1],
    ["connection_bytes", "received", "sum", 101],
    ["connection_bytes", "sent", "100000", 1],
    ["connection_bytes", "sent", "sum", 20_000],
  ]);
});

test("an observation above all bounds is in the last bucket", () => {
  const counters = counting([]);
  counters.handshakeTook(3_600_000);
  const place = counters.series.findIndex(({ name, part }) =>
    name === "handshake_seconds" && part === "+Inf"
  );
  assert.equal(counters.values[place], 1);
});

test("in client mode no handshakes are counted", () => {
  const { connections } = fakeConnections({ backendTls: {} as never });
  const client: FakeStream = new FakeStream(undefined!, clientAt, frontendAt);
  connections.accept(client).opened(client);
  assert.equal(connections.counters.total("handshakes_total"), 0);
});

test("a report omits zeros, and is far smaller than a frame", () => {
  const counters = counting(["h2"]);
  assert.deepEqual(counters.report(), {});
  counters.values[BYTES_RECEIVED] = 5;
  assert.deepEqual(counters.report(), { client_bytes_total: [0, 5] });
  const names = (max: number) => Array.from({ length: max }, (_, i) => `name-${i}`);
  const many = counting(names(MAX_PROTOCOLS), [...names(MAX_FRONTENDS), "other"]);
  many.values.fill(2 ** 53);
  const { length } = frame({ type: "pong", open: 2 ** 53, counters: many.report() });
  assert.ok(length < MAX_FRAME_UP / 2, `${length} bytes`);
});

test("a report arrives as it was sent", () => {
  const sent = counting(["h2", "http/1.1"]);
  const received = counting(["h2", "http/1.1"]);
  let grown = 0;
  for (let round = 1; round <= 3; round++) {
    for (const place of sent.values.keys()) sent.values[place]! += place % 7 * round;
    const report = parseCounterReport(JSON.parse(JSON.stringify(sent.report())));
    received.update(report!, (_, by) => grown += by);
    assert.deepEqual(received.values, sent.values);
  }
  assert.equal(grown, sent.values.reduce((sum, value) => sum + value, 0));
});

test("a report can neither decrease a counter nor add an unknown one", () => {
  const counters = counting([]);
  counters.update({ client_bytes_total: [0, 5, 1, 7] }, ignore);
  const grown: number[][] = [];
  counters.update(
    {
      client_bytes_total: [0, 3, 1, 8, 2, 1000, 2 ** 60, 1000],
      connections_accepted_total: [1, 1000],
      unknown_total: [0, 1000],
      ["__proto__"]: [0, 1000],
    },
    (place, by) => grown.push([place, by]),
  );
  assert.deepEqual(grown, [[BYTES_SENT, 1]]);
  assert.deepEqual(counters.report(), { client_bytes_total: [0, 5, 1, 8] });
});

test("totals of workers with different protocols add up by labels, and never decrease", () => {
  const totals = new CounterTotals();
  const add = (alpn: readonly string[], protocol: string) => {
    const counters = counting(alpn);
    counters.handshakeDone("TLSv1.3", false, protocol);
    const sum = counting(alpn);
    sum.update(counters.report(), (place, by) => totals.add(sum.series[place]!, by));
  };
  add(["h2", "http/1.1"], "h2");
  add(["http/1.1", "h2"], "h2");
  add(["http/1.1"], "h2");
  assert.equal(totals.total("handshakes_total", { alpn: "h2" }), 2);
  assert.equal(totals.total("handshakes_total", { alpn: "other" }), 1);
  assert.equal(totals.total("handshakes_total", { kind: "full" }), 3);
  assert.equal(totals.total("handshakes_total", { kind: "resumed" }), 0);
});

test("totals are raised to those of another process, never lowered, whatever the order of labels", () => {
  const totals = new CounterTotals();
  const grown: number[] = [];
  const raise = (value: number, labels: Record<string, string> = { a: "1", b: "2" }) =>
    totals.raise([{ name: "x_total", labels, value }], (_, by) => grown.push(by));
  raise(5);
  raise(3);
  raise(7, { b: "2", a: "1" });
  raise(1, { a: "2", b: "2" });
  assert.deepEqual(grown, [5, 2, 1]);
  assert.deepEqual(totals.all.map(({ value }) => value), [7, 1]);
});

test("the number of names that are counted separately is bounded over all reloads", () => {
  const names = new SeparateNames();
  const config = (ports: readonly number[]) => ({
    frontends: ports.map((port) => ({ listen: { host: "*", port } })) as never,
  });
  assert.deepEqual(names.of(config([1, 2]), ["h2", "other", "none"]), {
    frontends: ["*:1", "*:2"],
    alpn: ["h2"],
  });
  const ports = Array.from({ length: 100 }, (_, i) => i + 2);
  const { frontends, alpn } = names.of(config(ports), ports.map(String));
  assert.deepEqual(frontends.slice(0, 2), ["*:2", "*:3"]);
  assert.equal(
    new Set(frontends).size,
    MAX_FRONTENDS,
    "one was counted before, one is for the rest",
  );
  assert.equal(frontends.at(-1), "other");
  assert.equal(alpn.length, MAX_PROTOCOLS - 1);
  assert.deepEqual(names.of(config([1]), ["h2"]), { frontends: ["*:1"], alpn: ["h2"] });
  const inherited = new SeparateNames([
    ...frontends.map((frontend) => ({ name: "connections_accepted_total", labels: { frontend } })),
    { name: "connections_accepted_total", labels: { frontend: "*:1" } },
    { name: "handshakes_total", labels: { alpn: "none" } },
  ].map((series) => ({ ...series, value: 1 })));
  assert.deepEqual(inherited.of(config([1, 2, 1000]), ["h2"]), {
    frontends: ["*:1", "*:2", "other"],
    alpn: ["h2"],
  });
});
