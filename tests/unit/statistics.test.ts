import { test } from "node:test";
import assert from "node:assert/strict";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { ConnectionCounters } from "../../src/connection/counters.ts";
import { resumedText, Statistics } from "../../src/master/workers/statistics.ts";
import { HandClock } from "../support/hand_clock.ts";

const counts = { accepted: 430, full: 120, resumed: 300 };
const counters = new ConnectionCounters({ alpn: ["h2"], frontends: ["front"] });
counters.values[counters.placeOf("connections_accepted_total")] = counts.accepted;
for (let i = 0; i < counts.full; i++) counters.handshakeDone("TLSv1.3", false, "h2");
for (let i = 0; i < counts.resumed; i++) counters.handshakeDone("TLSv1.2", true, undefined);
const slots = [
  { number: 1, reported: { pid: 7, open: 17, counters } },
  { number: 2, reported: undefined },
];

function logging(knowsHandshakes = true) {
  const clock = new HandClock();
  const entries: LogEntry[] = [];
  const statistics = new Statistics((entry) => entries.push(entry), knowsHandshakes, clock);
  /** Checks once per second, each time a little late. */
  const pass = (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      clock.advance(1003);
      statistics.check(slots);
    }
  };
  return { statistics, entries, pass };
}

test("each worker has one line per interval", () => {
  const { statistics, entries, pass } = logging();
  statistics.interval = 10;
  pass(9);
  assert.equal(entries.length, 0);
  pass(1);
  assert.deepEqual(entries, [{
    level: "info",
    event: "statistics",
    message: "120 full and 300 resumed handshakes, 17 connections open",
    facts: { worker: 1, pid: 7, open: 17, ...counts, failed: 0, left: 0 },
  }]);
  pass(990);
  assert.equal(entries.length, 100, "delays do not add up");
});

test("a build that does not know the handshakes logs accepted connections", () => {
  const { statistics, entries } = logging(false);
  statistics.interval = 1;
  statistics.logNow(slots);
  const { message, facts } = entries[0]!;
  assert.equal(message, "430 connections accepted, 17 connections open");
  assert.deepEqual(facts, { worker: 1, pid: 7, open: 17, accepted: 430, failed: 0, left: 0 });
});

test("clients that left at once are counted apart from failures", () => {
  const { statistics, entries } = logging();
  const counters = new ConnectionCounters({ alpn: [], frontends: ["front"] });
  for (let i = 0; i < 3; i++) counters.failed({ source: "client", code: "client-left" });
  counters.failed({ source: "client", code: "handshake-failed" });
  counters.failed({ source: "backend", code: "backend-reset" });
  statistics.interval = 1;
  statistics.logNow([{ number: 1, reported: { pid: 7, open: 1, counters } }]);
  const { message, facts } = entries[0]!;
  assert.match(message, / 1 connection open, 2 failed, 3 left at once$/);
  assert.deepEqual([facts.failed, facts.left], [2, 3]);
});

test("nothing is logged without an interval, and a new interval starts when it is set", () => {
  const { statistics, entries, pass } = logging();
  pass(20);
  statistics.logNow(slots);
  assert.equal(entries.length, 0);
  statistics.interval = 5;
  pass(4);
  statistics.interval = 2;
  pass(1);
  assert.equal(entries.length, 0);
  statistics.interval = 2;
  pass(1);
  assert.equal(entries.length, 1, "the same one continues");
  statistics.interval = 0;
  pass(20);
  assert.equal(entries.length, 1);
});

test("the share of resumed handshakes counts all workers", () => {
  assert.equal(resumedText(counters), ", 71 % of 420 handshakes resumed");
  const unknown = new ConnectionCounters({ alpn: [], frontends: ["front"] });
  unknown.handshakeDone(undefined, undefined, undefined);
  assert.equal(resumedText(unknown), "");
});
