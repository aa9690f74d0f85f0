import { test } from "node:test";
import assert from "node:assert/strict";
import type { ConnectionSettings } from "../../src/connection/settings.ts";
import type { Endpoint } from "../../src/os/endpoint.ts";
import { at, clientAt, fakeConnections, FakeStream, frontendAt } from "../support/fake_streams.ts";

const text = new TextEncoder();

/** Connections and clients for them. */
function accepting(settings: Partial<ConnectionSettings> = {}) {
  const all = fakeConnections(settings);
  const codes = () => all.failures.map(({ source, code }) => `${source} ${code}`);
  const accept = (remote: Endpoint = clientAt) => {
    const client: FakeStream = new FakeStream(undefined!, remote, frontendAt);
    client.handler = all.connections.accept(client);
    return client;
  };
  const open = (remote?: Endpoint) => {
    const client = accept(remote);
    client.handler.opened(client);
    return client;
  };
  const close = (client: FakeStream) => client.handler.closed(client, undefined);
  return { ...all, accept, open, close, codes };
}

const handshakes = (max: number): Partial<ConnectionSettings> => ({
  limits: { handshakes: max, sourceConnections: 0, sourceRate: 0 },
});
const onePerSource: Partial<ConnectionSettings> = {
  limits: { handshakes: 100, sourceConnections: 1, sourceRate: 0 },
};

test("one handshake too many resets the one that has taken longest", () => {
  const { accept, close, codes, clock } = accepting(handshakes(2));
  const [first, second, third] = [accept(), accept(), accept()];
  assert.deepEqual([first, second, third].map(({ calls }) => calls), [["reset"], [], []]);
  close(first);
  accept();
  assert.deepEqual(second.calls, ["reset"]);
  assert.deepEqual(codes(), ["client handshake-evicted", "client handshake-evicted"]);
  clock.advance(11_000);
  assert.deepEqual(first.calls, ["reset"], "its timeout is stopped");
});

test("a client that has sent nothing is reset before those that have", () => {
  const { accept, failures } = accepting(handshakes(3));
  const [first, second, silent] = [accept(), accept(), accept()];
  silent.peerHasSent = false;
  const later = accept();
  assert.deepEqual([first, second, silent].map(({ calls }) => calls), [[], [], ["reset"]]);
  // Now all have sent something.
  const last = accept();
  assert.deepEqual(first.calls, ["reset"]);
  assert.deepEqual([second, later, last].map(({ calls }) => calls), [[], [], []]);
  assert.match(failures[0]!.cause, /sent nothing/);
  assert.match(failures[1]!.cause, /taken longest/);
});

test("a flood of clients that have all sent something costs few questions", () => {
  const { accept } = accepting(handshakes(1000));
  let questions = 0;
  const next = () => {
    const client = accept();
    client.hasPeerSent = () => {
      questions++;
      return true;
    };
    return client;
  };
  const first = Array.from({ length: 1000 }, next);
  const before = questions;
  for (let i = 0; i < 100; i++) next();
  assert.ok(first.slice(0, 100).every(({ calls }) => calls[0] === "reset"));
  assert.ok(questions - before <= 100 * 34, `${questions - before}`);
});

test("connections whose handshake is done do not count as handshakes", () => {
  const { accept, open, codes } = accepting(handshakes(2));
  for (let i = 0; i < 5; i++) open();
  accept();
  accept();
  assert.deepEqual(codes(), []);
});

test("a client that has not sent its PROXY header yet can be reset as well", () => {
  const acceptProxy = { mode: "pass", trusted: [] } as const;
  const { accept, codes } = accepting({ ...handshakes(1), acceptProxy });
  const first = accept();
  accept();
  assert.deepEqual(first.calls, ["reset"]);
  assert.deepEqual(codes(), ["client handshake-evicted"]);
});

test("only the excess connection of a source is reset, before TLS", async () => {
  const { accept, open, close, codes, connections } = accepting(onePerSource);
  open(at("192.0.2.7", 1));
  const refused = accept(at("192.0.2.7", 2));
  open(at("192.0.2.8", 1));
  assert.deepEqual(refused.calls, [], "not while it is being accepted");
  await Promise.resolve();
  assert.deepEqual(refused.calls, ["reset"]);
  close(refused);
  assert.equal(connections.open, 2);
  assert.deepEqual(codes(), ["client source-limit"]);
  assert.equal(connections.handshakes.size, 0);
});

test("when a connection has closed its source may open another", () => {
  const { open, close, connects, codes } = accepting(onePerSource);
  const client = open();
  close(client);
  const { stream } = connects[0]!;
  stream.handler.closed(stream, undefined);
  open();
  assert.deepEqual(codes(), []);
});

test("without TLS no backend is connected for a client that is refused", async () => {
  const { open, connects } = accepting(onePerSource);
  open();
  open();
  await Promise.resolve();
  assert.equal(connects.length, 1);
});

test("the rate of new connections of a source is limited", () => {
  const limits = { handshakes: 100, sourceConnections: 0, sourceRate: 2 };
  const { accept, codes } = accepting({ limits });
  for (let i = 0; i < 3; i++) accept();
  assert.deepEqual(codes(), ["client source-rate"]);
});

for (const mode of ["use", "pass"] as const) {
  test(`behind a proxy the source is the one in the header (${mode})`, () => {
    const acceptProxy = { mode, trusted: ["192.0.2.0/24"] };
    const { accept, codes } = accepting({ ...onePerSource, acceptProxy });
    const connect = (header: string) => {
      const client = accept();
      client.handler.received(client, text.encode(header));
      return client.calls;
    };
    const from = (source: string) => connect(`PROXY TCP4 ${source} 203.0.113.10 1111 2222\r\n`);
    assert.deepEqual(from("203.0.113.1"), ["startTls"]);
    assert.deepEqual(from("203.0.113.2"), ["startTls"]);
    assert.deepEqual(from("203.0.113.1"), ["reset"]);
    assert.deepEqual(codes(), ["client source-limit"]);
    assert.deepEqual(connect("PROXY UNKNOWN\r\n"), ["startTls"], "the proxy itself");
    assert.deepEqual(connect("PROXY UNKNOWN\r\n"), ["reset"]);
  });
}

test("without a limit no source is counted", () => {
  const { connections, open } = accepting();
  open();
  assert.equal(connections.clientSources, undefined);
});
