import { test } from "node:test";
import assert from "node:assert/strict";
import { TimeoutQueue } from "../../src/base/timeout_queue.ts";
import { HandClock } from "../support/hand_clock.ts";

test("each holder expires once, at its own time", () => {
  const clock = new HandClock();
  const expired: string[] = [];
  const timeouts = new TimeoutQueue<string>(2, (holder) => expired.push(holder), clock);
  timeouts.start("a");
  clock.advance(500);
  timeouts.start("b");
  clock.advance(1499);
  assert.deepEqual(expired, []);
  clock.advance(1);
  assert.deepEqual(expired, ["a"]);
  clock.advance(500);
  assert.deepEqual(expired, ["a", "b"]);
  clock.advance(10_000);
  assert.deepEqual(expired, ["a", "b"]);
});

test("a stopped holder does not expire; starting it again restarts its time", () => {
  const clock = new HandClock();
  const expired: string[] = [];
  const timeouts = new TimeoutQueue<string>(1, (holder) => expired.push(holder), clock);
  timeouts.start("stopped");
  timeouts.start("renewed");
  clock.advance(900);
  timeouts.stop("stopped");
  timeouts.start("renewed");
  clock.advance(900);
  assert.deepEqual(expired, []);
  clock.advance(100);
  assert.deepEqual(expired, ["renewed"]);
});

test("a holder can be started again while it expires", () => {
  const clock = new HandClock();
  let count = 0;
  const timeouts: TimeoutQueue<string> = new TimeoutQueue(1, (holder) => {
    if (++count < 3) timeouts.start(holder);
  }, clock);
  timeouts.start("again");
  clock.advance(10_000);
  assert.equal(count, 3);
});

test("the queue reports its oldest holder and its size", () => {
  const timeouts = new TimeoutQueue<string>(1, () => {}, new HandClock());
  assert.equal(timeouts.oldest, undefined);
  timeouts.start("a");
  timeouts.start("b");
  assert.deepEqual([timeouts.size, timeouts.oldest], [2, "a"]);
  timeouts.start("a");
  assert.deepEqual([timeouts.size, timeouts.oldest], [2, "b"]);
  timeouts.stop("b");
  assert.deepEqual([timeouts.size, timeouts.oldest], [1, "a"]);
});
