import assert from "node:assert/strict";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { statSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { readSettled, type SettleContext } from "../../src/base/settled.ts";

/** A file, and a clock that only pauses advance; it was written long before. */
function settled(context: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), "stud-settled-"));
  context.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "stud.conf");
  let now = 1_000_000_000_000;
  const write = (text: string, age = 0) => {
    writeFileSync(file, text);
    utimesSync(file, (now - age) / 1000, (now - age) / 1000);
  };
  write("half", 60_000);
  const system: SettleContext = {
    stat: (file) => statSync(file, { bigint: true, throwIfNoEntry: false }),
    now: () => now,
    pause: (ms) => void (now += ms),
  };
  return { file, write, system, clock: () => now };
}

test("a file that nobody writes is read once, without a pause", (context) => {
  const { file, system, clock } = settled(context);
  const start = clock();
  let count = 0;
  assert.equal(readSettled(file, () => ++count, system), 1);
  assert.equal(clock(), start);
});

test("a file that changes while it is read is read again", (context) => {
  const { file, write, system } = settled(context);
  let count = 0;
  const text = readSettled(file, () => {
    if (++count > 1) return "whole";
    write("whole");
    return "half";
  }, system);
  assert.equal(text, "whole");
});

test("a file that was written at this moment is read again when it is settled", (context) => {
  const { file, write, system, clock } = settled(context);
  const start = clock();
  write("half");
  let count = 0;
  readSettled(file, () => ++count, system);
  assert.ok(count > 1);
  assert.ok(clock() - start >= 50, "it has waited");
});

test("a file that keeps changing is an error", (context) => {
  const { file, write, system } = settled(context);
  assert.throws(() => readSettled(file, () => write(String(system.now())), system), {
    message: `${file}: it keeps changing while it is read; try again when it is complete`,
  });
});

test("what is no regular file, or is missing, is read once", (context) => {
  const { system } = settled(context);
  let count = 0;
  readSettled("/dev/null", () => ++count, system);
  readSettled("/nonexistent", () => ++count, system);
  assert.equal(count, 2);
});
