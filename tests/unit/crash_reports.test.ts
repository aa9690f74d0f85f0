import { test } from "node:test";
import assert from "node:assert/strict";
import { CrashReports } from "../../src/master/workers/crash_reports.ts";
import type { ExitDetails } from "../../src/master/workers/slot.ts";
import { HandClock } from "../support/hand_clock.ts";

const exit: ExitDetails = {
  ...{ pid: 7, code: null, signal: "SIGSEGV", isHung: false, isExpected: false, delay: 100 },
};

test("the first crashes are logged one by one", () => {
  const reports = new CrashReports(2, new HandClock());
  const entry = reports.crashed(exit)!;
  assert.equal(entry.message, "pid 7 exited (signal SIGSEGV); its successor starts in 100 ms");
  assert.deepEqual(entry.facts, { worker: 2, pid: 7, signal: "SIGSEGV" });
  assert.equal(reports.isLoop, false);
});

test("a crash loop is logged once a minute, with the number of crashes", () => {
  const clock = new HandClock();
  const reports = new CrashReports(1, clock);
  let logged = 0;
  for (let second = 0; second < 600; second++) {
    if (reports.crashed(exit)) logged++;
    clock.advance(1000);
    const due = reports.due();
    if (!due) continue;
    logged++;
    assert.match(
      due.message,
      /^exited (54|60) more times in the last minute \(most recently: signal SIGSEGV\)/,
    );
  }
  assert.equal(logged, 6 + 10);
  assert.equal(reports.isLoop, true);
});

test("after a minute without a crash the next one is the first again", () => {
  const clock = new HandClock();
  const reports = new CrashReports(1, clock);
  for (let i = 0; i < 7; i++) reports.crashed(exit);
  clock.advance(60_000);
  assert.match(reports.due()!.message, /^exited 1 more time in /);
  clock.advance(60_000);
  assert.equal(reports.due(), undefined);
  assert.equal(reports.isLoop, false);
  assert.ok(reports.crashed(exit));
});

test("the crash of a worker that hung names the watchdog", () => {
  const entry = new CrashReports(1, new HandClock()).crashed({ ...exit, isHung: true })!;
  assert.match(entry.message, /killed by the watchdog/);
  assert.equal(entry.facts.hung, true);
});
