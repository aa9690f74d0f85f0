import { test } from "node:test";
import assert from "node:assert/strict";
import { MemoryReclaim } from "../../src/worker/memory_reclaim.ts";

test("half of many connections have closed", () => {
  const memoryReclaim = new MemoryReclaim();
  assert.equal(memoryReclaim.isDue(1000, 1000, 1000), false);
  assert.equal(memoryReclaim.isDue(600, 1000, 1000), false);
  assert.equal(memoryReclaim.isDue(400, 600, 1000), true);
  assert.equal(memoryReclaim.isDue(150, 400, 1000), false, "what is left is not many");
});

test("a peak between two calls counts", () => {
  assert.equal(new MemoryReclaim().isDue(0, 700, 700), true);
});

test("many were accepted one after the other, and now only few are", () => {
  const memoryReclaim = new MemoryReclaim();
  for (let total = 1000; total <= 10_000; total += 1000) {
    assert.equal(memoryReclaim.isDue(10, 20, total), false, "not while they come");
  }
  assert.equal(memoryReclaim.isDue(0, 10, 10_020), true);
  assert.equal(memoryReclaim.isDue(0, 0, 10_020), false, "once");
});

test("few connections are not worth reclaiming", () => {
  const memoryReclaim = new MemoryReclaim();
  assert.equal(memoryReclaim.isDue(300, 300, 300), false);
  assert.equal(memoryReclaim.isDue(0, 300, 310), false);
});
