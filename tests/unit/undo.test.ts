import { test } from "node:test";
import assert from "node:assert/strict";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { Undo } from "../../src/service/undo.ts";

test("undoes the last step first, once, and continues after a failure", () => {
  const entries: LogEntry[] = [];
  const undone: number[] = [];
  const undo = new Undo((entry) => entries.push(entry));
  undo.add(() => undone.push(1));
  undo.add(() => {
    throw new Error("stuck");
  });
  undo.add(() => undone.push(3));
  undo.run();
  undo.run();
  assert.deepEqual(undone, [3, 1]);
  assert.deepEqual(entries.map(({ event }) => event), ["internal-error"]);
});

test("does not undo a committed change", () => {
  const undo = new Undo(() => {});
  let isUndone = false;
  undo.add(() => isUndone = true);
  undo.clear();
  undo.run();
  assert.ok(!isUndone);
});
