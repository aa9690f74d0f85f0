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
    const holder = { name, isActive: false, idleRounds: 0, isBlocked: false };
    idleTimeouts.start(holder);
    return holder;
  };
  return { clock, expired, idleTimeouts, start };
}

test("an idle holder expires after its limit, once, at most a tenth late", () => {
  const { clock, expired, start } = listening(10);
  start("a");
  clock.advance(500);
  start("b");
  clock.advance(60_000);
  assert.deepEqual(expired.map(([name]) => name), ["a", "b"]);
  for (const [index, [, at]] of expired.entries()) {
    const idleTime = at - index * 500;
    assert.ok(idleTime >= 10_000 && idleTime <= 11_000, `${idleTime} ms`);
  }
});

test("activity postpones the timeout", () => {
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

test("a holder that waits for a slow reader has ten times as long", () => {
  const { clock, expired, start } = listening(10);
  start("a").isBlocked = true;
  clock.advance(100_000);
  assert.deepEqual(expired, []);
  clock.advance(1_000);
  assert.equal(expired.length, 1);
});

test("a stopped holder does not expire, and without holders no timer runs", () => {
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

test("an expiring holder may start and stop others", () => {
  const clock = new HandClock();
  let count = 0;
  const other = { isActive: false, idleRounds: 0, isBlocked: false };
  const idleTimeouts: IdleTimeouts<IdleHolder> = new IdleTimeouts(1, (holder) => {
    idleTimeouts.stop(other);
    if (++count < 3) idleTimeouts.start(holder);
  }, clock);
  idleTimeouts.start({ ...other });
  idleTimeouts.start(other);
  clock.advance(60_000);
  assert.equal(count, 3);
});

test("a very short limit is checked every 10 ms", () => {
  const { clock, expired, start } = listening(0.001);
  start("a");
  clock.advance(10);
  assert.deepEqual(expired, []);
  clock.advance(10);
  assert.deepEqual(expired, [["a", 20]]);
});
