import { test } from "node:test";
import assert from "node:assert/strict";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { ConnectionLimiter, LOG_PAUSE_MS } from "../../src/worker/connection_limiter.ts";
import { HandClock } from "../support/hand_clock.ts";

/** A gate with all that it did. */
function gateAt(connections: number, quota = Infinity) {
  const clock = new HandClock();
  const calls: string[] = [];
  const lines: { message: string; facts: LogEntry["facts"] }[] = [];
  const limiter = new ConnectionLimiter({ connections, reason: "as this test says" }, quota, {
    pause: () => calls.push("pause"),
    resume: () => calls.push("resume"),
    reached: (message, facts) => lines.push({ message, facts }),
  }, clock);
  return { limiter, clock, calls, lines };
}

test("at the limit accepting stops, and goes on when there is room again", () => {
  const { limiter, calls, lines } = gateAt(3);
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
      "open connections have reached the limit of 3, as this test says; new ones wait until " +
      "some end",
    facts: { limit: 3, times: 1 },
  }]);
});

test("of many connections one in a hundred must be free before it goes on", () => {
  const { limiter, calls } = gateAt(1000);
  limiter.opened(1000);
  for (let open = 999; open > 990; open--) limiter.closed(open);
  assert.deepEqual(calls, ["pause"]);
  limiter.closed(990);
  assert.deepEqual(calls, ["pause", "resume"]);
});

test("what comes in spite of the pause has no room, and is counted", () => {
  const { limiter, clock, lines } = gateAt(3);
  assert.equal(limiter.admits(2), true);
  limiter.opened(3);
  assert.equal(limiter.admits(3), false);
  assert.equal(limiter.admits(3), false);
  limiter.closed(2);
  clock.advance(LOG_PAUSE_MS);
  limiter.opened(3);
  assert.deepEqual(lines[1]!.facts, { limit: 3, times: 1, resets: 2 });
});

test("the limit is told once in a while, and how often it was reached meanwhile", () => {
  const { limiter, clock, lines } = gateAt(1);
  for (let i = 0; i < 500; i++) {
    limiter.opened(1);
    limiter.closed(0);
  }
  assert.equal(lines.length, 1);
  clock.advance(LOG_PAUSE_MS);
  limiter.opened(1);
  assert.equal(lines.length, 2);
  assert.deepEqual(lines[1]!.facts, { limit: 1, times: 500 });
  assert.match(lines[1]!.message, /; so it was 500 times since this was last told$/);
});

test("a share of the limit of all workers counts where it is smaller", () => {
  const { limiter, calls, lines } = gateAt(100, 2);
  limiter.opened(2);
  assert.match(lines[0]!.message, / the limit of 2, its share of --max-connections;/);
  limiter.allot(3, 2);
  assert.deepEqual(calls, ["pause", "resume"]);
  limiter.allot(2, 2);
  assert.deepEqual(calls, ["pause", "resume", "pause"]);
  limiter.allot(Infinity, 2);
  limiter.opened(3);
  assert.equal(limiter.isPaused, false);
});

test("without a share nothing is accepted", () => {
  const { limiter, calls } = gateAt(100, 0);
  assert.equal(limiter.isPaused, true);
  limiter.allot(0, 0);
  assert.deepEqual(calls, []);
  limiter.allot(1, 0);
  assert.deepEqual(calls, ["resume"]);
});
