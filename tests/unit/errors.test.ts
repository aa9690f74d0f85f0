import { test } from "node:test";
import assert from "node:assert/strict";
import { reasonOf, UsageError } from "../../src/base/errors.ts";
import { oneLine } from "../../src/base/one_line.ts";

test("a text stays one line, without control, invisible or bidirectional characters", () => {
  assert.equal(oneLine("a\tb\r\n\x1b[2J\x7f\x9b"), "a\\x09b\\x0d\\x0a\\x1b[2J\\x7f\\x9b");
  assert.equal(oneLine("a\u2028b\u2029c"), "a\\u2028b\\u2029c");
  assert.equal(oneLine("a\u202eb\u2066\u200f\ufeff"), "a\\u202eb\\u2066\\u200f\\ufeff");
  assert.equal(oneLine("a\u{e0041}\ud800"), "a\\u{e0041}\\ud800");
  assert.equal(oneLine("café 日本 {}\\"), "café 日本 {}\\");
});

test("each problem of a UsageError is one line", () => {
  const { message, problems } = new UsageError(["file 'a\nb'", "two"]);
  assert.deepEqual(problems, ["file 'a\\x0ab'", "two"]);
  assert.equal(message, "file 'a\\x0ab'\ntwo");
});

test("the reason is the first line of a message", () => {
  assert.equal(reasonOf(new Error("one\ntwo")), "one");
  assert.equal(reasonOf("three\nfour"), "three");
});
