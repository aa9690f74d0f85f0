import { test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { LogFile, LogFileError } from "../../src/system/log_file.ts";
import { temporaryDirectory } from "../support/system.ts";
import { until } from "../support/until.ts";

/** A file in a directory of its own, and a clock that the test moves. */
function newLog(): { path: string; file: LogFile; pass(ms: number): void } {
  let time = 0;
  const path = join(temporaryDirectory(), "stud.log");
  const file = new LogFile(path, () => time);
  return { path, file, pass: (ms) => void (time += ms) };
}

function text(path: string): string {
  return readFileSync(path, "utf8");
}

/** Descriptors of this process that are open on a file, also a removed one. */
function openOn(path: string): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path);
    } catch {
      return false;
    }
  }).length;
}

test("appends to what is there, and is not for everybody", () => {
  const { path, file } = newLog();
  assert.equal(statSync(path).mode & 0o137, 0);
  file.write("one");
  file.close();
  const again = new LogFile(path);
  again.write("two");
  assert.equal(text(path), "one\ntwo\n");
  again.close();
});

test("goes on in a new file when the old one was renamed, looked for once a second", async () => {
  const { path, file, pass } = newLog();
  file.write("one");
  renameSync(path, `${path}.1`);
  pass(999);
  file.write("two");
  assert.ok(!existsSync(path));
  pass(1);
  file.write("three");
  assert.equal(text(`${path}.1`), "one\ntwo\n");
  assert.equal(text(path), "three\n");
  await until(() => openOn(path) === 1, "the old file is closed");
  file.close();
});

test("goes on in the file that took its place", () => {
  const { path, file, pass } = newLog();
  rmSync(path);
  writeFileSync(path, "");
  pass(1000);
  file.write("one");
  assert.equal(text(path), "one\n");
  file.close();
});

test("goes on in a new file at once when told to", () => {
  const { path, file } = newLog();
  file.write("one");
  renameSync(path, `${path}.1`);
  file.reopen();
  file.write("two");
  assert.equal(text(`${path}.1`), "one\n");
  assert.equal(text(path), "two\n");
  file.close();
});

test("keeps the old file while the path cannot be opened, and tells why once", () => {
  const { path, file, pass } = newLog();
  const reasons: string[] = [];
  file.onTrouble = (reason) => void reasons.push(reason);
  renameSync(path, `${path}.1`);
  mkdirSync(path);
  for (const line of ["one", "two", "three"]) {
    pass(1000);
    file.write(line);
  }
  assert.equal(text(`${path}.1`), "one\ntwo\nthree\n");
  assert.deepEqual(reasons, ["Illegal operation on a directory"]);
  rmSync(path, { recursive: true });
  pass(1000);
  file.write("four");
  assert.equal(text(path), "four\n");
  file.close();
});

test("a file that cannot be opened at start is an error that can be told from others", () => {
  const path = join(temporaryDirectory(), "missing", "stud.log");
  assert.throws(() => new LogFile(path), (error) => {
    assert.ok(error instanceof LogFileError && error instanceof UsageError);
    assert.equal(
      error.message,
      `--log-filename: cannot open ${path}: No such file or directory; choose another path`,
    );
    return true;
  });
});

test("a FIFO that nobody reads is refused and not waited for", () => {
  const path = join(temporaryDirectory(), "fifo");
  execFileSync("mkfifo", [path]);
  assert.throws(() => new LogFile(path), LogFileError);
});
