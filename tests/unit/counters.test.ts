import { test } from "node:test";
import assert from "node:assert/strict";
import { CounterSet, CounterTotals, parseCounterReport } from "../../src/base/counters.ts";
import {
  ACCEPTED,
  BYTES_RECEIVED,
  BYTES_SENT,
  ConnectionCounters,
} from "../../src/connection/counters.ts";
import { FAILURE_CODES, FAILURE_SOURCES } from "../../src/connection/failure.ts";
import { frame, MAX_FRAME_UP } from "../../src/control/channel.ts";
import { clientAt, fakeConnections, FakeStream, frontendAt } from "../support/fake_streams.ts";

const ignore = () => {};

/** The one number that is not 0, with its name and labels. */
function counted(counters: CounterSet): [string, Readonly<Record<string, string>>, number] {
  const places = [...counters.values.keys()].filter((place) => counters.values[place] !== 0);
  assert.equal(places.length, 1);
  const { name, labels } = counters.series[places[0]!]!;
  return [name, labels, counters.values[places[0]!]!];
}

test("every counter has a valid Prometheus name, a help text and unique label values", () => {
  const { families, series, values } = new ConnectionCounters(["h2", "http/1.1"]);
  assert.equal(series.length, values.length);
  for (const { name, help, labels } of families) {
    assert.match(name, /^[a-z]+(_[a-z]+)*_total$/);
    assert.match(help, /^[A-Z].*\.$/);
    for (const [label, of] of Object.entries(labels)) {
      assert.match(label, /^[a-z]+$/);
      assert.equal(new Set(of).size, of.length, `${name} ${label}`);
    }
  }
});

test("the hot path's indexes are those of their series", () => {
  const expected = [
    [ACCEPTED, "connections_accepted_total", {}],
    [BYTES_RECEIVED, "client_bytes_total", { direction: "received" }],
    [BYTES_SENT, "client_bytes_total", { direction: "sent" }],
  ] as const;
  for (const [place, name, labels] of expected) {
    const counters = new ConnectionCounters([]);
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
    const counters = new ConnectionCounters(["h2", "http/1.1"]);
    counters.handshakeDone(tlsVersion, isResumed, protocol);
    assert.deepEqual(counted(counters), ["handshakes_total", { version, kind, alpn }, 1]);
  }
});

test("every failure is counted by source and code", () => {
  for (const source of FAILURE_SOURCES) {
    for (const code of FAILURE_CODES) {
      const counters = new ConnectionCounters([]);
      counters.failed({ source, code });
      assert.deepEqual(counted(counters), ["connection_failures_total", { source, code }, 1]);
    }
  }
});

test("connections are counted with their handshakes, failures and bytes", () => {
  const { connections, connects } = fakeConnections({ alpn: ["h2"] });
  const { counters } = connections;
  const facts = { version: "TLSv1.3", resumed: true, alpn: "h2" };
  const client: FakeStream = new FakeStream(undefined!, clientAt, frontendAt, facts);
  const handler = client.handler = connections.accept(client);
  assert.equal(counters.total("connections_accepted_total"), 1);
  assert.equal(counters.total("handshakes_total"), 0);
  handler.opened(client);
  assert.equal(
    counters.total("handshakes_total", { version: "TLSv1.3", kind: "resumed", alpn: "h2" }),
    1,
  );
  const backend = connects[0]!.stream;
  handler.opened(backend);
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
});

test("in client mode no handshakes are counted", () => {
  const { connections } = fakeConnections({ backendTls: {} as never });
  const client: FakeStream = new FakeStream(undefined!, clientAt, frontendAt);
  connections.accept(client).opened(client);
  assert.equal(connections.counters.total("handshakes_total"), 0);
});

test("a report omits zeros, and is far smaller than a frame", () => {
  const counters = new ConnectionCounters(["h2"]);
  assert.deepEqual(counters.report(), {});
  counters.values[BYTES_RECEIVED] = 5;
  assert.deepEqual(counters.report(), { client_bytes_total: [5] });
  const many = new ConnectionCounters(Array.from({ length: 1000 }, (_, i) => `protocol-${i}`));
  many.values.fill(2 ** 53);
  const { length } = frame({ type: "pong", open: 2 ** 53, counters: many.report() });
  assert.ok(length < MAX_FRAME_UP / 8, `${length} bytes`);
});

test("a report arrives as it was sent", () => {
  const sent = new ConnectionCounters(["h2", "http/1.1"]);
  const received = new ConnectionCounters(["h2", "http/1.1"]);
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
  const counters = new ConnectionCounters([]);
  counters.update({ client_bytes_total: [5, 7] }, ignore);
  const grown: number[][] = [];
  counters.update(
    {
      client_bytes_total: [3, 8, 1000],
      connections_accepted_total: [0, 1000],
      unknown_total: [1000],
      ["__proto__"]: [1000],
    },
    (place, by) => grown.push([place, by]),
  );
  assert.deepEqual(grown, [[BYTES_SENT, 1]]);
  assert.deepEqual(counters.report(), { client_bytes_total: [5, 8] });
});

test("totals of workers with different protocols add up by labels, and never decrease", () => {
  const totals = new CounterTotals();
  const add = (alpn: readonly string[], protocol: string) => {
    const counters = new ConnectionCounters(alpn);
    counters.handshakeDone("TLSv1.3", false, protocol);
    const sum = new ConnectionCounters(alpn);
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
