import { test } from "node:test";
import assert from "node:assert/strict";
import { systemClock } from "../../src/base/clock.ts";

/** Returns the delays that a call passes to `setTimeout`, which is replaced and does not wait. */
function delaysOf(call: () => void): number[] {
  const { setTimeout } = globalThis;
  const delays: number[] = [];
  const waiting: (() => void)[] = [];
  globalThis.setTimeout = ((later: () => void, delay: number) => {
    delays.push(delay);
    waiting.push(later);
  }) as unknown as typeof setTimeout;
  try {
    call();
    for (let later; (later = waiting.shift());) later();
  } finally {
    globalThis.setTimeout = setTimeout;
  }
  return delays;
}

test("a delay above the limit of setTimeout is split into several", () => {
  const longest = 2 ** 31 - 1;
  for (const delay of [0, 1.5, longest, longest + 1, 2 ** 32, 5e11]) {
    let calls = 0;
    const delays = delaysOf(() => systemClock.after(delay, () => calls++));
    assert.ok(delays.every((part) => part <= longest), `${delay} in ${delays.length} parts`);
    assert.equal(delays.reduce((sum, part) => sum + part, 0), delay);
    assert.equal(calls, 1, `${delay}`);
  }
});
