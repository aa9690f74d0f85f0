import { test } from "node:test";
import assert from "node:assert/strict";
import { Ebb } from "../../src/worker/memory_reclaim.ts";

test("half of many connections have ended", () => {
  const ebb = new Ebb();
  assert.equal(ebb.isDue(1000, 1000, 1000), false);
  assert.equal(ebb.isDue(600, 1000, 1000), false);
  assert.equal(ebb.isDue(400, 600, 1000), true);
  assert.equal(ebb.isDue(150, 400, 1000), false, "what is left is not many");
});

test("a peak between two looks counts", () => {
  assert.equal(new Ebb().isDue(0, 700, 700), true);
});

test("many came one after the other, and few do any more", () => {
  const ebb = new Ebb();
  for (let total = 1000; total <= 10_000; total += 1000) {
    assert.equal(ebb.isDue(10, 20, total), false, "not while they come");
  }
  assert.equal(ebb.isDue(0, 10, 10_020), true);
  assert.equal(ebb.isDue(0, 0, 10_020), false, "once");
});

test("few connections are not worth it", () => {
  const ebb = new Ebb();
  assert.equal(ebb.isDue(300, 300, 300), false);
  assert.equal(ebb.isDue(0, 300, 310), false);
});
