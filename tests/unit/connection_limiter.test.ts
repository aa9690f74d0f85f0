import { test } from "node:test";
import assert from "node:assert/strict";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { ConnectionLimiter, LOG_INTERVAL_MS } from "../../src/worker/connection_limiter.ts";
import { HandClock } from "../support/hand_clock.ts";

/** A limiter and what it has called. */
function limiterAt(connections: number, quota = Infinity) {
  const clock = new HandClock();
  const calls: string[] = [];
  const lines: { message: string; facts: LogEntry["facts"] }[] = [];
  const counted: string[] = [];
  const own = {
    connections,
    limit: "max-worker-connections",
    reason: "as this test says",
  } as const;
  const limiter = new ConnectionLimiter(own, quota, {
    counted: (limit) => counted.push(limit),
    pause: () => calls.push("pause"),
    resume: () => calls.push("resume"),
    reached: (message, facts) => lines.push({ message, facts }),
  }, clock);
  return { limiter, clock, calls, lines, counted };
}

test("accepting pauses at the limit, and resumes when there is room", () => {
  const { limiter, calls, lines } = limiterAt(3);
  limiter.opened(1);
  limiter.opened(2);
  assert.equal(limiter.isPaused, false);
  limiter.opened(3);
  assert.equal(limiter.isPaused, true);
  limiter.closed(2);
  assert.equal(limiter.isPaused, false);
  assert.deepEqual(calls, ["pause", "resume"]);
  assert.deepEqual(lines, [{
    message:
      "reached the limit of 3 open connections (as this test says); new ones wait until others " +
      "close",
    facts: { limit: 3, times: 1 },
  }]);
});

test("with many connections one in a hundred must be free before accepting resumes", () => {
  const { limiter, calls } = limiterAt(1000);
  limiter.opened(1000);
  for (let open = 999; open > 990; open--) limiter.closed(open);
  assert.deepEqual(calls, ["pause"]);
  limiter.closed(990);
  assert.deepEqual(calls, ["pause", "resume"]);
});

test("connections accepted despite the pause are not admitted, and are counted", () => {
  const { limiter, clock, lines } = limiterAt(3);
  assert.equal(limiter.admits(2), true);
  limiter.opened(3);
  assert.equal(limiter.admits(3), false);
  assert.equal(limiter.admits(3), false);
  limiter.closed(2);
  clock.advance(LOG_INTERVAL_MS);
  limiter.opened(3);
  assert.deepEqual(lines[1]!.facts, { limit: 3, times: 1, resets: 2 });
});

test("the limit is logged at intervals, with how often it was reached meanwhile", () => {
  const { limiter, clock, lines } = limiterAt(1);
  for (let i = 0; i < 500; i++) {
    limiter.opened(1);
    limiter.closed(0);
  }
  assert.equal(lines.length, 1);
  clock.advance(LOG_INTERVAL_MS);
  limiter.opened(1);
  assert.equal(lines.length, 2);
  assert.deepEqual(lines[1]!.facts, { limit: 1, times: 500 });
  assert.match(lines[1]!.message, /; reached 500 times since the last message$/);
});

test("a share of the total limit applies if it is smaller", () => {
  const { limiter, calls, lines, counted } = limiterAt(100, 2);
  limiter.opened(2);
  assert.match(
    lines[0]!.message,
    / the limit of 2 open connections \(its share of --max-connections\);/,
  );
  limiter.setQuota(3, 2);
  assert.deepEqual(calls, ["pause", "resume"]);
  limiter.setQuota(2, 2);
  assert.deepEqual(calls, ["pause", "resume", "pause"]);
  limiter.setQuota(Infinity, 2);
  limiter.opened(3);
  assert.equal(limiter.isPaused, false);
  limiter.opened(100);
  assert.deepEqual(counted, ["max-connections", "max-worker-connections"]);
});

test("without a share nothing is accepted", () => {
  const { limiter, calls } = limiterAt(100, 0);
  assert.equal(limiter.isPaused, true);
  limiter.setQuota(0, 0);
  assert.deepEqual(calls, []);
  limiter.setQuota(1, 0);
  assert.deepEqual(calls, ["resume"]);
});
