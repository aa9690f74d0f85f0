import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import * as runtime from "#runtime";
import { openLateCounts, readLateCounts, writeLateCounts } from "../../src/upgrade/late_counts.ts";

const numbers = [
  { name: "a_total", labels: { b: "c" }, value: 1 },
  { name: "a_seconds", labels: {}, part: "+Inf", value: 2 ** 53 },
];

test("numbers are read as they were written last", () => {
  const fd = openLateCounts(runtime.libc);
  assert.equal(readLateCounts(fd), undefined);
  writeLateCounts(fd, [...numbers, ...numbers]);
  writeLateCounts(fd, numbers);
  assert.deepEqual(readLateCounts(fd), numbers);
  runtime.libc.close(fd);
});

test("numbers that are being written are not read", () => {
  const fd = openLateCounts(runtime.libc);
  const file = `/proc/self/fd/${fd}`;
  writeLateCounts(fd, numbers);
  const text = readFileSync(file, "utf8");
  for (const length of [0, 10, 64, 65, text.length - 1]) {
    truncateSync(file, length);
    assert.equal(readLateCounts(fd), undefined, `${length}`);
  }
  writeFileSync(file, text.replace('"value":1', '"value":7'));
  assert.equal(readLateCounts(fd), undefined);
  runtime.libc.close(fd);
});

test("what another version writes and this one does not understand is omitted", () => {
  const fd = openLateCounts(runtime.libc);
  const wrong = [null, 1, { name: 1 }, { ...numbers[0], value: -1 }, {
    ...numbers[0],
    labels: [1],
  }];
  writeLateCounts(fd, [...wrong, ...numbers] as never);
  assert.deepEqual(readLateCounts(fd), numbers);
  writeLateCounts(fd, {} as never);
  assert.deepEqual(readLateCounts(fd), []);
  runtime.libc.close(fd);
});
