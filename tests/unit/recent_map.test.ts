import { test } from "node:test";
import assert from "node:assert/strict";
import { RecentMap } from "../../src/base/recent_map.ts";

test("a map of limited size keeps what is used, and forgets the rest", () => {
  const map = new RecentMap<number, string>(10);
  map.set(-1, "used");
  for (let key = 0; key < 1000; key++) {
    map.set(key, `value ${key}`);
    assert.ok(map.size <= 10);
    assert.equal(map.get(-1), "used");
    // At least those of half the limit are there.
    for (let back = 0; back < 4 && back <= key; back++) {
      assert.equal(map.get(key - back), `value ${key - back}`);
    }
  }
  assert.equal(map.get(0), undefined);
  map.set(999, "other");
  assert.equal(map.get(999), "other");
});
