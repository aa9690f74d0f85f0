import assert from "node:assert/strict";
import { test } from "node:test";
import { type IdleHolder, IdleTimeouts } from "../../src/connection/idle_timeouts.ts";
import { HandClock } from "../support/hand_clock.ts";

function listening(seconds: number) {
  const clock = new HandClock();
  const expired: [name: string, at: number][] = [];
  const idleTimeouts = new IdleTimeouts<IdleHolder & { name: string }>(
    seconds,
    ({ name }) => expired.push([name, clock.now()]),
    clock,
  );
  const start = (name: string) => {
    const holder = { name, isActive: false, idleRounds: 0, isHeldUp: false };
    idleTimeouts.start(holder);
    return holder;
  };
  return { clock, expired, idleTimeouts, start };
}

test("a silent speaker expires after its limit, once, at most a tenth too late", () => {
  const { clock, expired, start } = listening(10);
  start("a");
  clock.advance(500);
  start("b");
  clock.advance(60_000);
  assert.deepEqual(expired.map(([name]) => name), ["a", "b"]);
  for (const [index, [, at]] of expired.entries()) {
    const silence = at - index * 500;
    assert.ok(silence >= 10_000 && silence <= 11_000, `${silence} ms`);
  }
});

test("activity puts the end off", () => {
  const { clock, expired, start } = listening(10);
  const holder = start("a");
  for (let i = 0; i < 10; i++) {
    clock.advance(9_000);
    holder.isActive = true;
  }
  assert.deepEqual(expired, []);
  clock.advance(10_000);
  assert.deepEqual(expired, []);
  clock.advance(1_000);
  assert.equal(expired.length, 1);
});

test("one that waits for a slow reader is given ten times as long", () => {
  const { clock, expired, start } = listening(10);
  start("a").isHeldUp = true;
  clock.advance(100_000);
  assert.deepEqual(expired, []);
  clock.advance(1_000);
  assert.equal(expired.length, 1);
});

test("a stopped speaker does not expire, and without speakers there is no timer", () => {
  const { clock, expired, idleTimeouts, start } = listening(10);
  idleTimeouts.stop(start("a"));
  clock.advance(1_000);
  const { after } = clock;
  clock.after = () => assert.fail("a timer");
  clock.advance(60_000);
  assert.deepEqual(expired, []);
  clock.after = after;
  start("b");
  clock.advance(11_000);
  assert.equal(expired.length, 1);
});

test("a speaker may start and stop others when it expires", () => {
  const clock = new HandClock();
  let count = 0;
  const other = { isActive: false, idleRounds: 0, isHeldUp: false };
  const idleTimeouts: IdleTimeouts<IdleHolder> = new IdleTimeouts(1, (holder) => {
    idleTimeouts.stop(other);
    if (++count < 3) idleTimeouts.start(holder);
  }, clock);
  idleTimeouts.start({ ...other });
  idleTimeouts.start(other);
  clock.advance(60_000);
  assert.equal(count, 3);
});

test("a very short limit is looked at every 10 ms", () => {
  const { clock, expired, start } = listening(0.001);
  start("a");
  clock.advance(10);
  assert.deepEqual(expired, []);
  clock.advance(10);
  assert.deepEqual(expired, [["a", 20]]);
});
