import { test } from "node:test";
import assert from "node:assert/strict";
import { AcceptWatch } from "../../src/admin/helper/accept_watch.ts";

test("a helper whose clients wait while it accepts none is stuck after two checks", () => {
  let [waiting, accepted] = [0, 0];
  const polled: number[] = [];
  const poll = (entries: Uint8Array, count: number) => {
    polled.push(entries.length / 8, count);
    return waiting;
  };
  const watch = new AcceptWatch({ poll }, [4, 5], () => accepted);
  const checks = (count: number) => Array.from({ length: count }, () => watch.isStuck());
  assert.deepEqual(checks(5), [false, false, false, false, false], "nobody waits");
  assert.deepEqual(polled.slice(0, 2), [2, 2]);
  waiting = 1;
  assert.deepEqual(checks(1), [false]);
  accepted++;
  assert.deepEqual(checks(1), [false], "it has accepted one");
  assert.deepEqual(checks(2), [false, true]);
});
