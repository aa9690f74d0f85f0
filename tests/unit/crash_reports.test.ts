import { test } from "node:test";
import assert from "node:assert/strict";
import { CrashReports } from "../../src/master/workers/crash_reports.ts";
import type { Ending } from "../../src/master/workers/slot.ts";
import { HandClock } from "../support/hand_clock.ts";

const ending: Ending = {
  ...{ pid: 7, code: null, signal: "SIGSEGV", isHung: false, isExpected: false, delay: 100 },
};

test("the first crashes are told one by one", () => {
  const reports = new CrashReports(2, new HandClock());
  const entry = reports.crashed(ending)!;
  assert.equal(entry.message, "pid 7 ended (signal SIGSEGV); its successor starts in 100 ms");
  assert.deepEqual(entry.facts, { worker: 2, pid: 7, signal: "SIGSEGV" });
  assert.equal(reports.isLoop, false);
});

test("a crash loop is told once a minute, with the number of crashes", () => {
  const clock = new HandClock();
  const reports = new CrashReports(1, clock);
  let told = 0;
  for (let second = 0; second < 600; second++) {
    if (reports.crashed(ending)) told++;
    clock.advance(1000);
    const due = reports.due();
    if (!due) continue;
    told++;
    assert.match(
      due.message,
      /^ended (54|60) more times in the last minute, at last signal SIGSEGV/,
    );
  }
  assert.equal(told, 6 + 10);
  assert.equal(reports.isLoop, true);
});

test("after a minute without a crash the next one is the first again", () => {
  const clock = new HandClock();
  const reports = new CrashReports(1, clock);
  for (let i = 0; i < 7; i++) reports.crashed(ending);
  clock.advance(60_000);
  assert.match(reports.due()!.message, /^ended 1 more times/);
  clock.advance(60_000);
  assert.equal(reports.due(), undefined);
  assert.equal(reports.isLoop, false);
  assert.ok(reports.crashed(ending));
});

test("a worker that hung says so", () => {
  const entry = new CrashReports(1, new HandClock()).crashed({ ...ending, isHung: true })!;
  assert.match(entry.message, /ended by the watchdog/);
  assert.equal(entry.facts.hung, true);
});
