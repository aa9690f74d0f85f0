import { test } from "node:test";
import assert from "node:assert/strict";
import { Deadlines } from "../../src/base/timeout_queue.ts";
import { HandClock } from "../support/hand_clock.ts";

test("each holder expires once, in its own time", () => {
  const clock = new HandClock();
  const expired: string[] = [];
  const deadlines = new Deadlines<string>(2, (holder) => expired.push(holder), clock);
  deadlines.start("a");
  clock.advance(500);
  deadlines.start("b");
  clock.advance(1499);
  assert.deepEqual(expired, []);
  clock.advance(1);
  assert.deepEqual(expired, ["a"]);
  clock.advance(500);
  assert.deepEqual(expired, ["a", "b"]);
  clock.advance(10_000);
  assert.deepEqual(expired, ["a", "b"]);
});

test("a stopped holder does not expire, a started one waits anew", () => {
  const clock = new HandClock();
  const expired: string[] = [];
  const deadlines = new Deadlines<string>(1, (holder) => expired.push(holder), clock);
  deadlines.start("stopped");
  deadlines.start("renewed");
  clock.advance(900);
  deadlines.stop("stopped");
  deadlines.start("renewed");
  clock.advance(900);
  assert.deepEqual(expired, []);
  clock.advance(100);
  assert.deepEqual(expired, ["renewed"]);
});

test("a holder may start again from within its expiry", () => {
  const clock = new HandClock();
  let count = 0;
  const deadlines: Deadlines<string> = new Deadlines(1, (holder) => {
    if (++count < 3) deadlines.start(holder);
  }, clock);
  deadlines.start("again");
  clock.advance(10_000);
  assert.equal(count, 3);
});

test("the oldest holder is told, and how many there are", () => {
  const deadlines = new Deadlines<string>(1, () => {}, new HandClock());
  assert.equal(deadlines.oldest, undefined);
  deadlines.start("a");
  deadlines.start("b");
  assert.deepEqual([deadlines.size, deadlines.oldest], [2, "a"]);
  deadlines.start("a");
  assert.deepEqual([deadlines.size, deadlines.oldest], [2, "b"]);
  deadlines.stop("b");
  assert.deepEqual([deadlines.size, deadlines.oldest], [1, "a"]);
});
