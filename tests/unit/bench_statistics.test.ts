import assert from "node:assert/strict";
import { test } from "node:test";
import { median, percentile, ratio, spread, withOmitted } from "../../bench/statistics.ts";

test("the median is the middle value, or the mean of the two in the middle", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([7]), 7);
  assert.throws(() => median([]), RangeError);
});

test("a percentile is the smallest value that covers its share of the values", () => {
  const values = Array.from({ length: 1000 }, (_, i) => 1000 - i);
  assert.equal(percentile(values, 50), 500);
  assert.equal(percentile(values, 99), 990);
  assert.equal(percentile(values, 99.9), 999);
  assert.equal(percentile([5], 99.9), 5);
});

test("a spread is the median with the smallest and the largest value", () => {
  assert.deepEqual(spread([10, 9, 11]), { median: 10, min: 9, max: 11 });
});

test("a ratio compares within each round and skips rounds that only one has", () => {
  const values = new Map([[1, 50], [2, 120], [3, 70], [4, 1]]);
  const base = new Map([[1, 100], [2, 200], [3, 100], [5, 1]]);
  assert.deepEqual(ratio(values, base), { median: 0.6, min: 0.5, max: 0.7 });
  assert.equal(ratio(values, new Map()), undefined);
});

test("what a client could not send while it waited is added", () => {
  assert.deepEqual(withOmitted([3, 35, 10], 10), [3, 35, 10, 25, 15, 5]);
});
