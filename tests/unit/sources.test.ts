import { test } from "node:test";
import assert from "node:assert/strict";
import { MAX_SOURCES, sourceKey, Sources } from "../../src/connection/sources.ts";
import type { Endpoint } from "../../src/os/endpoint.ts";
import { at } from "../support/fake_streams.ts";
import { HandClock } from "../support/hand_clock.ts";

/** What becomes of a new connection. */
function visit(sources: Sources, client: Endpoint): string {
  const source = sources.of(client);
  if (!source) return "not counted";
  return sources.enter(source)?.code ?? "welcome";
}

/** The n-th address of 10.0.0.0/8. */
function address(n: number): Endpoint {
  return at(`10.${n >> 16}.${n >> 8 & 0xff}.${n & 0xff}`, 1);
}

test("the same IPv4 address, and the same /64 of IPv6, are one source", () => {
  assert.equal(sourceKey("192.0.2.1"), sourceKey("::ffff:192.0.2.1"));
  assert.notEqual(sourceKey("192.0.2.1"), sourceKey("192.0.2.2"));
  assert.equal(sourceKey("2001:db8:1:2:3:4:5:6"), sourceKey("2001:db8:1:2::"));
  assert.notEqual(sourceKey("2001:db8:1:2::"), sourceKey("2001:db8:1:3::"));
  assert.notEqual(sourceKey("2001:db8:1:2::"), sourceKey("2001:db9:1:2::"));
});

test("one source has so many connections, others have theirs", () => {
  const sources = new Sources({ sourceConnections: 2, sourceRate: 0 }, new HandClock());
  const client = at("192.0.2.1", 1);
  assert.equal(visit(sources, client), "welcome");
  assert.equal(visit(sources, client), "welcome");
  assert.equal(visit(sources, client), "source-limit");
  assert.equal(visit(sources, at("192.0.2.2", 1)), "welcome");
  sources.leave(sources.of(client)!);
  assert.equal(visit(sources, client), "welcome");
  assert.equal(visit(sources, client), "source-limit");
});

test("one source makes so many new connections a second, after a burst of as many", () => {
  const clock = new HandClock();
  const sources = new Sources({ sourceConnections: 0, sourceRate: 4 }, clock);
  const client = at("192.0.2.1", 1);
  const welcomes = (tries: number) =>
    Array.from({ length: tries }, () => visit(sources, client))
      .filter((outcome) => outcome === "welcome").length;
  assert.equal(welcomes(10), 4);
  assert.equal(visit(sources, client), "source-rate");
  clock.advance(250);
  assert.equal(welcomes(10), 1);
  clock.advance(60_000);
  assert.equal(welcomes(10), 4);
  assert.equal(visit(sources, at("192.0.2.2", 1)), "welcome");
});

test("a connection that is refused for its source's number does not count for the rate", () => {
  const sources = new Sources({ sourceConnections: 1, sourceRate: 2 }, new HandClock());
  const client = at("192.0.2.1", 1);
  assert.equal(visit(sources, client), "welcome");
  for (let i = 0; i < 5; i++) assert.equal(visit(sources, client), "source-limit");
  sources.leave(sources.of(client)!);
  assert.equal(visit(sources, client), "welcome");
});

test("clients of Unix sockets are not counted", () => {
  const sources = new Sources({ sourceConnections: 1, sourceRate: 1 }, new HandClock());
  for (let i = 0; i < 3; i++) {
    assert.equal(visit(sources, { family: "unix", path: "" }), "not counted");
  }
  assert.equal(sources.size, 0);
});

test("a source without connections is forgotten at once where there is no rate", () => {
  const sources = new Sources({ sourceConnections: 1, sourceRate: 0 }, new HandClock());
  const client = at("192.0.2.1", 1);
  visit(sources, client);
  sources.leave(sources.of(client)!);
  assert.equal(sources.size, 0);
});

test("the table is bounded, and full of others it lets strangers in", () => {
  const clock = new HandClock();
  const sources = new Sources({ sourceConnections: 1, sourceRate: 1 }, clock);
  for (let n = 0; n < MAX_SOURCES; n++) assert.equal(visit(sources, address(n)), "welcome");
  assert.equal(visit(sources, address(MAX_SOURCES)), "not counted");
  assert.equal(visit(sources, address(5)), "source-limit", "those in it are still held to it");
  assert.equal(sources.size, MAX_SOURCES);
  for (let n = 0; n < 1000; n++) sources.leave(sources.of(address(n))!);
  clock.advance(1000);
  assert.equal(visit(sources, address(MAX_SOURCES)), "welcome");
  assert.equal(sources.size, MAX_SOURCES - 999);
  assert.equal(visit(sources, address(MAX_SOURCES)), "source-limit");
});
