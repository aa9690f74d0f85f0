import { test } from "node:test";
import assert from "node:assert/strict";
import type { Limits } from "../../src/options/config.ts";
import { descriptorLimit, workerLimits } from "../../src/worker/limits.ts";

const auto: Limits = {
  connections: 0,
  workerConnections: "auto",
  handshakes: "auto",
  sourceConnections: 0,
  sourceRate: 0,
};

test("without a configured limit the descriptor limit decides", () => {
  const { connections, reason, tooMany } = workerLimits(auto, 1064, 1);
  assert.equal(connections, 500);
  assert.match(reason, /^the descriptor limit: raise ulimit -n or add workers$/);
  assert.equal(tooMany, undefined);
});

test("a configured limit applies as far as the descriptor limit allows", () => {
  const given = { ...auto, workerConnections: 500 };
  assert.equal(workerLimits(given, 100_000, 1).connections, 500);
  assert.match(workerLimits(given, 100_000, 1).reason, /--max-worker-connections/);
  assert.equal(workerLimits(given, 1064, 1).tooMany, undefined);
  const lowered = workerLimits(given, 264, 1);
  assert.deepEqual([lowered.connections, lowered.tooMany], [100, 500]);
});

test("many listening sockets leave fewer descriptors for connections", () => {
  assert.equal(workerLimits(auto, 1064, 8).connections, 500);
  assert.equal(workerLimits(auto, 1064, 128).connections, (1064 - 40 - 3 * 128) / 2);
});

test("at least one connection is allowed", () => {
  assert.equal(workerLimits(auto, 10, 1).connections, 1);
});

test("a quarter of the connections may be handshakes, but at least enough for a burst", () => {
  assert.equal(workerLimits(auto, 1_000_064, 1).handshakes, 125_000);
  assert.equal(workerLimits(auto, 1064, 1).handshakes, 1024);
  assert.equal(workerLimits({ ...auto, handshakes: 7 }, 1064, 1).handshakes, 7);
});

test("the descriptor limit of this process is read", () => {
  assert.ok(Number.isInteger(descriptorLimit()) && descriptorLimit() >= 64);
});
