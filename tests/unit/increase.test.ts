import { test } from "node:test";
import assert from "node:assert/strict";
import { increase, mean, observed, quantile, total } from "../../src/status/increase.ts";
import type { MetricFamily } from "../../src/status/metric.ts";

function counter(...samples: [Record<string, string>, number][]): MetricFamily[] {
  const family = { name: "c_total", help: "C.", type: "counter" as const };
  return [{ ...family, samples: samples.map(([labels, value]) => ({ labels, value })) }];
}

function histogram(bounds: readonly number[], ...all: (readonly number[])[]): MetricFamily[] {
  const samples = all.map((counts, i) => ({ labels: { service: `${i}` }, counts, sum: 0 }));
  return [{ name: "h_seconds", help: "H.", type: "histogram", bounds, samples }];
}

test("a total is the sum of the samples with the labels", () => {
  const metrics = counter([{ a: "1", b: "1" }, 5], [{ a: "1", b: "2" }, 7], [{ a: "2" }, 11]);
  assert.equal(total(metrics, "c_total"), 23);
  assert.equal(total(metrics, "c_total", { a: "1" }), 12);
  assert.equal(total(metrics, "c_total", { a: "3" }), 0);
  assert.equal(total(metrics, "missing_total"), undefined);
});

test("an increase is the difference of each series", () => {
  const before = counter([{ a: "1", b: "x" }, 5], [{ a: "2" }, 7]);
  // The order of series and of labels means nothing.
  const after = counter([{ a: "2" }, 17], [{ b: "x", a: "1" }, 8]);
  assert.equal(increase(before, after, "c_total"), 13);
  assert.equal(increase(before, after, "c_total", { a: "1" }), 3);
  assert.equal(increase(before, [], "c_total"), undefined);
});

test("a series that is new or lower than before has started at 0", () => {
  const before = counter([{ a: "1" }, 500], [{ a: "2" }, 7]);
  const after = counter([{ a: "1" }, 20], [{ a: "2" }, 9], [{ a: "3" }, 4]);
  assert.equal(increase(before, after, "c_total"), 20 + 2 + 4);
  assert.equal(increase([], after, "c_total"), 33);
});

test("a distribution is the difference of each bucket, of all series with the labels", () => {
  const before = histogram([1, 2], [1, 2, 3], [10, 0, 0]);
  const after = histogram([1, 2], [4, 2, 4], [10, 5, 0]);
  assert.deepEqual(observed(before, after, "h_seconds")?.counts, [3, 5, 1]);
  assert.deepEqual(observed(before, after, "h_seconds", { service: "1" })?.counts, [0, 5, 0]);
  assert.equal(observed(before, [], "h_seconds"), undefined);
});

test("a histogram that has started anew, or has other buckets, counts from 0", () => {
  const after = histogram([1, 2], [4, 2, 4]);
  assert.deepEqual(observed(histogram([1, 2], [9, 0, 0]), after, "h_seconds")?.counts, [4, 2, 4]);
  assert.deepEqual(observed(histogram([1, 3], [1, 1, 1]), after, "h_seconds")?.counts, [4, 2, 4]);
  assert.deepEqual(observed([], after, "h_seconds")?.counts, [4, 2, 4]);
});

test("a quantile is interpolated within its bucket", () => {
  const bounds = [1, 2, 4];
  assert.equal(quantile({ bounds, counts: [10, 10, 0, 0] }, 0.5), 1);
  assert.equal(quantile({ bounds, counts: [10, 10, 0, 0] }, 0.75), 1.5);
  assert.equal(quantile({ bounds, counts: [0, 0, 8, 0] }, 0.5), 3);
  assert.equal(quantile({ bounds, counts: [5, 0, 5, 0] }, 0.5), 1);
  assert.equal(quantile({ bounds, counts: [5, 0, 5, 0] }, 1), 4);
});

test("a quantile above all bounds is infinite, and one of nothing is unknown", () => {
  assert.equal(quantile({ bounds: [1], counts: [1, 9] }, 0.99), Infinity);
  assert.equal(quantile({ bounds: [1], counts: [0, 0] }, 0.5), undefined);
});

test("a mean is that of the observations since the first reading", () => {
  const reading = (counts: readonly number[], sum: number): MetricFamily[] => [
    {
      name: "h_seconds",
      help: "H.",
      type: "histogram",
      bounds: [1],
      samples: [{ labels: {}, counts, sum }],
    },
  ];
  const between = (before: MetricFamily[], after: MetricFamily[]) =>
    mean(observed(before, after, "h_seconds"));
  assert.equal(between(reading([1, 0], 1), reading([3, 2], 1.5)), 0.125);
  assert.equal(between(reading([1, 0], 1), reading([1, 0], 1)), undefined);
  assert.equal(between(reading([9, 0], 9), reading([2, 0], 1)), 0.5);
  assert.equal(between([], []), undefined);
});
