import { test } from "node:test";
import assert from "node:assert/strict";
import { MAX_SOURCES, sourceKey, Sources } from "../../src/connection/sources.ts";
import type { Endpoint } from "../../src/os/endpoint.ts";
import { at } from "../support/fake_streams.ts";
import { HandClock } from "../support/hand_clock.ts";

/** What happens to a new connection. */
function visit(sources: Sources, client: Endpoint): string {
  const source = sources.of(client);
  if (!source) return "not counted";
  return sources.admit(source)?.code ?? "admitted";
}

/** The n-th address of 10.0.0.0/8. */
function address(n: number): Endpoint {
  return at(`10.${n >> 16}.${n >> 8 & 0xff}.${n & 0xff}`, 1);
}

test("an IPv4 address, and a /64 of IPv6, are one source", () => {
  assert.equal(sourceKey("192.0.2.1"), sourceKey("::ffff:192.0.2.1"));
  assert.notEqual(sourceKey("192.0.2.1"), sourceKey("192.0.2.2"));
  assert.equal(sourceKey("2001:db8:1:2:3:4:5:6"), sourceKey("2001:db8:1:2::"));
  assert.notEqual(sourceKey("2001:db8:1:2::"), sourceKey("2001:db8:1:3::"));
  assert.notEqual(sourceKey("2001:db8:1:2::"), sourceKey("2001:db9:1:2::"));
});

test("each source has its own limit of connections", () => {
  const sources = new Sources({ sourceConnections: 2, sourceRate: 0 }, new HandClock());
  const client = at("192.0.2.1", 1);
  assert.equal(visit(sources, client), "admitted");
  assert.equal(visit(sources, client), "admitted");
  assert.equal(visit(sources, client), "source-limit");
  assert.equal(visit(sources, at("192.0.2.2", 1)), "admitted");
  sources.release(sources.of(client)!);
  assert.equal(visit(sources, client), "admitted");
  assert.equal(visit(sources, client), "source-limit");
});

test("each source has its own rate of new connections, after a burst of one second's worth", () => {
  const clock = new HandClock();
  const sources = new Sources({ sourceConnections: 0, sourceRate: 4 }, clock);
  const client = at("192.0.2.1", 1);
  const admitteds = (tries: number) =>
    Array.from({ length: tries }, () => visit(sources, client))
      .filter((outcome) => outcome === "admitted").length;
  assert.equal(admitteds(10), 4);
  assert.equal(visit(sources, client), "source-rate");
  clock.advance(250);
  assert.equal(admitteds(10), 1);
  clock.advance(60_000);
  assert.equal(admitteds(10), 4);
  assert.equal(visit(sources, at("192.0.2.2", 1)), "admitted");
});

test("a connection refused by the limit of connections does not count for the rate", () => {
  const sources = new Sources({ sourceConnections: 1, sourceRate: 2 }, new HandClock());
  const client = at("192.0.2.1", 1);
  assert.equal(visit(sources, client), "admitted");
  for (let i = 0; i < 5; i++) assert.equal(visit(sources, client), "source-limit");
  sources.release(sources.of(client)!);
  assert.equal(visit(sources, client), "admitted");
});

test("clients of Unix sockets are not counted", () => {
  const sources = new Sources({ sourceConnections: 1, sourceRate: 1 }, new HandClock());
  for (let i = 0; i < 3; i++) {
    assert.equal(visit(sources, { family: "unix", path: "" }), "not counted");
  }
  assert.equal(sources.size, 0);
});

test("without a rate, a source without connections is removed at once", () => {
  const sources = new Sources({ sourceConnections: 1, sourceRate: 0 }, new HandClock());
  const client = at("192.0.2.1", 1);
  visit(sources, client);
  sources.release(sources.of(client)!);
  assert.equal(sources.size, 0);
});

test("the table is bounded, and new sources are admitted uncounted while it is full", () => {
  const clock = new HandClock();
  const sources = new Sources({ sourceConnections: 1, sourceRate: 1 }, clock);
  for (let n = 0; n < MAX_SOURCES; n++) assert.equal(visit(sources, address(n)), "admitted");
  assert.equal(visit(sources, address(MAX_SOURCES)), "not counted");
  assert.equal(visit(sources, address(5)), "source-limit", "known sources are still limited");
  assert.equal(sources.size, MAX_SOURCES);
  for (let n = 0; n < 1000; n++) sources.release(sources.of(address(n))!);
  clock.advance(1000);
  assert.equal(visit(sources, address(MAX_SOURCES)), "admitted");
  assert.equal(sources.size, MAX_SOURCES - 999);
  assert.equal(visit(sources, address(MAX_SOURCES)), "source-limit");
});
