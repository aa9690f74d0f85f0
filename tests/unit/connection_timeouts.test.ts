import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectionSettings } from "../../src/connection/settings.ts";
import { clientAt, fakeConnections, FakeStream, frontendAt } from "../support/fake_streams.ts";

const bytes = new TextEncoder().encode("x");

/** A connection in this phase. */
function reach(
  phase: "handshake" | "connecting" | "relaying",
  settings: Partial<ConnectionSettings>,
) {
  const all = fakeConnections(settings);
  const client: FakeStream = new FakeStream(undefined!, clientAt, frontendAt);
  const connection = client.handler = all.connections.accept(client);
  if (phase !== "handshake") connection.opened(client);
  const backend = all.connects[0]?.stream as FakeStream;
  if (phase === "relaying") connection.opened(backend);
  const codes = () => all.failures.map(({ source, code }) => `${source} ${code}`);
  return { ...all, client, backend, connection, codes };
}

/** Makes its writes report that the kernel's buffer is full. */
function fill(stream: FakeStream): void {
  stream.write = () => false;
}

test("a connection that is idle in both directions is finished in order on both sides", () => {
  const { clock, client, backend, codes } = reach("relaying", { idleTimeout: 5 });
  clock.advance(4_999);
  assert.deepEqual([client.calls, backend.calls], [[], []]);
  clock.advance(501);
  assert.deepEqual([client.calls, backend.calls], [["finish"], ["finish"]]);
  assert.deepEqual(codes(), ["limit idle-timeout"]);
});

test("bytes from either side keep it open", () => {
  const { clock, client, backend, connection, codes } = reach("relaying", { idleTimeout: 5 });
  for (let i = 0; i < 10; i++) {
    clock.advance(4_000);
    connection.received(i % 2 ? client : backend, bytes);
  }
  assert.deepEqual(codes(), []);
  clock.advance(6_000);
  assert.deepEqual(codes(), ["limit idle-timeout"]);
});

test("while a slow reader has bytes to read, the idle timeout is ten times as long", () => {
  const all = reach("relaying", { idleTimeout: 5 });
  const { clock, client, backend, connection, codes, failures } = all;
  fill(client);
  connection.received(backend, bytes);
  clock.advance(50_000);
  assert.deepEqual(codes(), []);
  clock.advance(1_000);
  assert.deepEqual(codes(), ["limit idle-timeout"]);
  assert.equal(failures[0]!.cause.includes("the client had not read everything"), true);
  assert.deepEqual([client.calls, backend.calls], [["reset"], ["pause", "reset"]]);
});

test("before the backend is connected the idle timeout does not apply", () => {
  for (const phase of ["handshake", "connecting"] as const) {
    const { clock, codes } = reach(phase, { idleTimeout: 1 });
    clock.advance(9_999);
    assert.deepEqual(codes(), []);
  }
});

test("a busy connection is cut when its lifetime has elapsed", () => {
  const { clock, client, backend, connection, codes } = reach("relaying", { maxLifetime: 5 });
  for (let i = 0; i < 5; i++) {
    connection.received(client, bytes);
    connection.received(backend, bytes);
    clock.advance(1_000);
  }
  assert.deepEqual(codes(), ["limit lifetime"]);
  assert.deepEqual([client.calls.at(-1), backend.calls.at(-1)], ["reset", "reset"]);
  assert.ok(![...client.calls, ...backend.calls].includes("finish"));
});

test("a connection that was idle before its lifetime elapsed is finished in order", () => {
  // With an idle timeout, whose checks clear the same flag.
  for (const idleTimeout of [0, 60]) {
    const settings = { maxLifetime: 20, idleTimeout };
    const { clock, client, backend, connection, codes } = reach("relaying", settings);
    connection.received(client, bytes);
    clock.advance(14_999);
    connection.received(backend, bytes);
    clock.advance(5_000);
    assert.deepEqual(codes(), []);
    clock.advance(1);
    assert.deepEqual(codes(), ["limit lifetime"]);
    assert.deepEqual([client.calls, backend.calls], [["write", "finish"], ["write", "finish"]]);
    connection.received(client, bytes);
    connection.received(backend, bytes);
    assert.equal(client.calls.at(-1), "finish", "nothing more is relayed");
  }
});

test("a lifetime that ends in the middle of something cuts", () => {
  const cases: [string, (all: ReturnType<typeof reach>) => void][] = [
    ["the client had not read everything", ({ client }) => client.isAcknowledged = false],
    ["the client had not read everything", ({ client }) => client.isSending = true],
    ["the backend had not read everything", ({ backend }) => backend.isAcknowledged = false],
    ["the backend had not read everything", ({ backend }) => backend.isSending = true],
    ["only one side had ended", ({ client, connection }) => connection.ended(client)],
    ["only one side had ended", ({ backend, connection }) => connection.ended(backend)],
    ["it was in use", ({ clock, client, connection }) => {
      clock.advance(3_000);
      connection.received(client, bytes);
    }],
  ];
  for (const [reason, arrange] of cases) {
    const all = reach("relaying", { maxLifetime: 5, halfCloseTimeout: 60 });
    arrange(all);
    all.clock.advance(5_000);
    assert.deepEqual(all.codes(), ["limit lifetime"]);
    assert.ok(all.failures[0]!.cause.includes(reason), reason);
    assert.deepEqual([all.client.calls.at(-1), all.backend.calls.at(-1)], ["reset", "reset"]);
  }
});

test("a lifetime that elapses before the backend is connected closes what is open", () => {
  const settings = { maxLifetime: 5 };
  const handshake = reach("handshake", settings);
  handshake.clock.advance(5_000);
  assert.deepEqual(handshake.client.calls, ["reset"]);
  assert.deepEqual(handshake.codes(), ["limit lifetime"]);
  const connecting = reach("connecting", settings);
  connecting.clock.advance(5_000);
  assert.deepEqual([connecting.client.calls, connecting.backend.calls], [["reset"], ["reset"]]);
  assert.deepEqual(connecting.codes(), ["limit lifetime"]);
});

test("a side that does not close in time is cut, whichever has ended", () => {
  for (const ended of [[], ["client"], ["backend"], ["client", "backend"]]) {
    const { clock, client, backend, connection, codes } = reach("relaying", { maxLifetime: 5 });
    clock.advance(5_000);
    for (const side of ended) connection.ended(side === "client" ? client : backend);
    clock.advance(9_999);
    assert.equal(client.calls.includes("close"), false);
    connection.received(client, bytes);
    clock.advance(1);
    assert.equal(client.calls.at(-1), "close");
    assert.equal(backend.calls.at(-1), "close");
    assert.deepEqual(codes(), ["limit lifetime"]);
  }
});

test("no timeout fires for a connection that has closed", () => {
  const settings = { idleTimeout: 5, maxLifetime: 5, halfCloseTimeout: 5 };
  const { clock, client, backend, connection, connections, codes, closed } = reach(
    "relaying",
    settings,
  );
  connection.ended(client);
  connection.ended(backend);
  connection.closed(client, undefined);
  connection.closed(backend, undefined);
  clock.advance(60_000);
  assert.deepEqual(codes(), []);
  assert.equal(closed.length, 1);
  assert.equal(connections.open, 0);
});

test("a client that closes after the idle timeout closes the backend as well", () => {
  const { clock, client, backend, connection, connections, codes } = reach("relaying", {
    idleTimeout: 1,
  });
  clock.advance(1_100);
  connection.ended(client);
  connection.closed(client, undefined);
  assert.deepEqual(backend.calls.at(-1), "close");
  connection.closed(backend, undefined);
  assert.equal(connections.open, 0);
  assert.deepEqual(codes(), ["limit idle-timeout"]);
});
