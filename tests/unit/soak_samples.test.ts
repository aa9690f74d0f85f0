import { test } from "node:test";
import assert from "node:assert/strict";
import { growthOf, plot, type Sample } from "../soak/samples.ts";

const MB = 1e6;

/** A sample each second, with the workers' memory at each. */
function samples(seconds: number, workers: (time: number) => number): Sample[] {
  return Array.from({ length: seconds }, (_, time) => (
    { time, master: 30 * MB, workers: workers(time), descriptors: 20 }
  ));
}

test("a heap that breathes is flat", () => {
  const { isFlat, mean } = growthOf(samples(900, (t) => (100 + (t % 20)) * MB), "workers");
  assert.ok(isFlat);
  assert.ok(Math.abs(mean - 109.5 * MB) < MB);
});

test("what warms up in the first half is not counted", () => {
  assert.ok(growthOf(samples(900, (t) => Math.min(40 + t, 150) * MB), "workers").isFlat);
});

test("a slow leak is found under a breathing heap", () => {
  const leaking = samples(900, (t) => (100 + (t % 20) + t * 0.03) * MB);
  const { isFlat, growth } = growthOf(leaking, "workers");
  assert.ok(!isFlat);
  assert.ok(Math.abs(growth - 13.5 * MB) < MB, `${growth}`);
  assert.ok(growthOf(leaking, "master").isFlat);
});

test("a plot has some sixty points at most, however long it took", () => {
  const svg = plot("title", samples(900, () => 100 * MB));
  assert.ok((svg.match(/<circle/g) ?? []).length <= 120);
  assert.match(svg, /0\.0 min/);
});
