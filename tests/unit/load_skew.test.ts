import { test } from "node:test";
import assert from "node:assert/strict";
import { LoadSkew } from "../../src/master/listeners/load_skew.ts";
import { HandClock } from "../support/hand_clock.ts";

/** The overload that is found if the workers get `perSecond` connections for `seconds`. */
function found(perSecond: readonly number[], seconds: number) {
  const clock = new HandClock();
  const loadSkew = new LoadSkew(clock);
  // They have served unevenly before.
  let accepted = perSecond.map((_, i) => 1000 * i);
  for (let second = 0; second <= seconds; second++) {
    const overload = loadSkew.check(accepted);
    if (overload) return { ...overload, second };
    clock.advance(1000);
    accepted = accepted.map((count, i) => count + perSecond[i]!);
  }
  return undefined;
}

test("a worker with more than twice the mean for ten seconds is found, not before", () => {
  const overload = { place: 1, share: 0.7, connections: 200, seconds: 10, second: 10 };
  assert.deepEqual(found([3, 14, 3], 60), overload);
  assert.equal(found([3, 14, 3], 9), undefined);
  assert.equal(found([3, 12, 3], 60), undefined, "twice the mean is no overload");
});

test("one of two workers may get 90 %", () => {
  assert.equal(found([90, 10], 60), undefined);
  assert.equal(found([91, 9], 60)?.share, 0.91);
  assert.equal(found([0, 10], 60)?.place, 1);
});

test("one worker may get all of few connections", () => {
  assert.equal(found([9, 0, 0], 60), undefined);
  assert.equal(found([10, 0, 0], 60)?.connections, 100);
  assert.equal(found([0, 0, 0], 60), undefined);
});

test("counts before a restart are ignored", () => {
  const clock = new HandClock();
  const loadSkew = new LoadSkew(clock);
  loadSkew.check([0, 0]);
  clock.advance(9000);
  loadSkew.restart();
  assert.equal(loadSkew.check([900, 0]), undefined);
  clock.advance(9999);
  assert.equal(loadSkew.check([1900, 0]), undefined);
  clock.advance(1);
  assert.equal(loadSkew.check([1900, 0])?.connections, 1000);
});
