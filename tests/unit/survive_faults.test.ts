import { test } from "node:test";
import assert from "node:assert/strict";
import { runTask } from "../support/system.ts";

test("unhandled exceptions and rejections are reported and do not end a process", {
  timeout: 60_000,
}, async () => {
  // The child waits for all of them; if one ended it, there would be no answer.
  const { facts } = await runTask<{ reported: string[] }>(["faults"]);
  assert.deepEqual(facts.reported, ["exception", "rejection", "rejection of a signal handler"]);
});
