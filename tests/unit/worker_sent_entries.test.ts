import { test } from "node:test";
import assert from "node:assert/strict";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { LogRateLimiter } from "../../src/log/rate_limiter.ts";
import { isSent } from "../../src/worker/sent_entries.ts";
import { HandClock } from "../support/hand_clock.ts";

function entry(level: LogEntry["level"], event: LogEntry["event"], cause = ""): LogEntry {
  return { level, event, message: "", facts: { source: "client", code: "x", cause } };
}

test("with --log-level 0 a worker sends errors, and what the status shows if there is one", () => {
  const failed = entry("warn", "connection-failed");
  assert.deepEqual([isSent(failed, 0, false), isSent(failed, 0, true)], [false, true]);
  assert.ok(isSent(failed, 1, false));
  assert.ok(isSent(entry("error", "accept-failed"), 0, false));
  assert.ok(!isSent(entry("warn", "pin-failed"), 0, true));
});

test("what is sent for the status is bounded, whatever clients do", () => {
  const clock = new HandClock();
  let sent = 0;
  const limiter = new LogRateLimiter(() => sent++, () => 0, clock);
  for (let i = 0; i < 100_000; i++) limiter.log(entry("warn", "connection-failed", `cause ${i}`));
  clock.advance(10_000);
  assert.ok(sent <= 1100, `${sent} entries in ten seconds`);
});
