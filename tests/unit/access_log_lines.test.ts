/** How lines reach the helper, and how it keeps them whole. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { DropReports } from "../../src/access_log/drop_reports.ts";
import { LineBatches } from "../../src/access_log/line_batches.ts";
import { PendingLines } from "../../src/access_log/pending_lines.ts";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { HandClock } from "../support/hand_clock.ts";

function batching() {
  const clock = new HandClock();
  const written: string[] = [];
  const pipe = { isFull: false };
  let dropped = 0;
  const batches = new LineBatches(
    (bytes) => {
      if (pipe.isFull) return false;
      written.push(Buffer.from(bytes).toString());
      return true;
    },
    (lines) => dropped += lines,
    clock,
  );
  return { batches, clock, written, pipe, dropped: () => dropped };
}

test("lines are written together after 100 ms", () => {
  const { batches, clock, written } = batching();
  batches.add("one");
  batches.add("two");
  clock.advance(99);
  assert.deepEqual(written, []);
  clock.advance(1);
  assert.deepEqual(written, ["one\ntwo\n"]);
  batches.add("three");
  clock.advance(100);
  assert.deepEqual(written, ["one\ntwo\n", "three\n"]);
});

test("a write has whole lines and at most 4096 bytes, so that it is not mixed with others", () => {
  const { batches, written } = batching();
  const line = "ä".repeat(500);
  for (let i = 0; i < 10; i++) batches.add(line);
  batches.flush();
  assert.equal(written.join(""), `${line}\n`.repeat(10));
  for (const each of written) {
    assert.ok(Buffer.byteLength(each) <= 4096 && each.endsWith("\n"), `${each.length}`);
  }
  assert.ok(written.length <= 3);
});

test("a full pipe delays lines, in order, and drops and counts those that do not fit", () => {
  const { batches, clock, written, pipe, dropped } = batching();
  pipe.isFull = true;
  const count = 3000;
  for (let i = 0; i < count; i++) batches.add(`${i} ${"x".repeat(400)}`);
  assert.ok(dropped() > 0 && dropped() < count, `${dropped()} dropped`);
  pipe.isFull = false;
  clock.advance(200);
  const numbers = written.join("").trimEnd().split("\n").map((line) => parseInt(line));
  assert.equal(numbers.length + dropped(), count);
  assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b));
  assert.equal(numbers[0], 0);
});

test("what a full pipe does not take before the exit is counted", () => {
  const { batches, pipe, dropped } = batching();
  pipe.isFull = true;
  batches.add("one");
  batches.flush();
  batches.add("two");
  batches.end();
  assert.equal(dropped(), 2);
});

test("losses are reported at once, and then once a minute", () => {
  const clock = new HandClock();
  const logged: LogEntry[] = [];
  const reports = new DropReports((entry) => logged.push(entry), clock);
  const messages = () => logged.splice(0).map(({ message }) => message);
  reports.add(1, "disk full");
  assert.deepEqual(messages(), ["1 line of the access log was lost: disk full"]);
  for (let i = 0; i < 1000; i++) reports.add(2, "too slow");
  clock.advance(59_999);
  assert.deepEqual(messages(), []);
  clock.advance(1);
  assert.deepEqual(messages(), ["2,000 lines of the access log were lost: too slow"]);
  clock.advance(120_000);
  assert.deepEqual(messages(), []);
  reports.add(3, "too slow");
  assert.deepEqual(messages(), ["3 lines of the access log were lost: too slow"]);
});

function pending(...reads: string[]) {
  const lines = new PendingLines();
  for (const read of reads) lines.add(Buffer.from(read));
  return lines;
}

const text = (lines: PendingLines) => Buffer.from(lines.bytes).toString();

test("only whole lines are given out", () => {
  const lines = pending("one\ntw");
  assert.deepEqual([text(lines), lines.isTorn], ["one\n", true]);
  lines.taken(4);
  assert.ok(lines.isEmpty);
  lines.add(Buffer.from("o\n"));
  assert.deepEqual([text(lines), lines.isTorn], ["two\n", false]);
  lines.taken(2);
  assert.equal(text(lines), "o\n");
});

test("the rest of a line that another helper has begun is passed over", () => {
  const lines = new PendingLines();
  lines.skipTorn();
  lines.add(Buffer.from("rest"));
  assert.deepEqual([lines.isEmpty, lines.isTorn], [true, false]);
  lines.add(Buffer.from(" of it\nwhole\nne"));
  assert.equal(text(lines), "whole\n");
  lines.taken(6);
  lines.add(Buffer.from("xt\n"));
  assert.equal(text(lines), "next\n");
});

test("a whole line is not taken for the rest of one", () => {
  for (const line of ["time=2026 a=b", '{"time":"2026"}']) {
    const lines = new PendingLines();
    lines.skipTorn();
    lines.add(Buffer.from(line.slice(0, 3)));
    lines.add(Buffer.from(`${line.slice(3)}\nnext\n`));
    assert.equal(text(lines), `${line}\nnext\n`);
  }
});

test("dropped lines are counted, and a line without its end can be dropped", () => {
  const lines = pending("one\ntwo\nthr");
  assert.equal(lines.drop(), 2);
  assert.deepEqual([lines.isEmpty, lines.isTorn], [true, true]);
  lines.dropTorn();
  assert.ok(!lines.isTorn);
});
