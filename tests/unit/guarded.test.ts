import { test } from "node:test";
import assert from "node:assert/strict";
import { UsageError } from "../../src/base/errors.ts";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { guarded } from "../../src/log/guarded.ts";

function logged() {
  const lines: string[] = [];
  const log = ({ level, event, message }: LogEntry) => lines.push(`${level} ${event}: ${message}`);
  return { lines, log };
}

test("begins a step at once and returns its result", async () => {
  const { lines, log } = logged();
  let hasBegun = false;
  const result = guarded(log, () => {
    hasBegun = true;
    return 7;
  });
  assert.ok(hasBegun);
  assert.equal(await result, 7);
  assert.equal(await guarded(log, () => Promise.resolve("later")), "later");
  assert.deepEqual(lines, []);
});

test("logs the error of a step that throws or is rejected", async () => {
  const { lines, log } = logged();
  const usage = () => {
    throw new UsageError(["first; do this", "second; do that"]);
  };
  assert.equal(await guarded(log, usage), undefined);
  assert.equal(await guarded(log, () => Promise.reject(new Error("a fault"))), undefined);
  assert.deepEqual(lines, [
    "warn warning: first; do this",
    "warn warning: second; do that",
    "error internal-error: internal error: a fault; please report it",
  ]);
});
