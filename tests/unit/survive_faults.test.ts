import { test } from "node:test";
import assert from "node:assert/strict";
import { runTask } from "../support/system.ts";

test("uncaught exceptions and unhandled rejections are reported and do not end a process", {
  timeout: 60_000,
}, async () => {
  // The child waits for all of them; one that ends it leaves the test without an answer.
  const { facts } = await runTask<{ reported: string[] }>(["faults"]);
  assert.deepEqual(facts.reported, ["exception", "rejection", "rejection of a signal handler"]);
});
