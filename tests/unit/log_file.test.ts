import { test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { LogFile, LogFileError } from "../../src/log/log_file.ts";
import { HandClock } from "../support/hand_clock.ts";
import { temporaryDirectory } from "../support/system.ts";
import { until } from "../support/until.ts";

/** A file in a directory of its own, and a clock that the test moves. */
function newLog(): { path: string; file: LogFile; pass(ms: number): void } {
  const clock = new HandClock();
  const path = join(temporaryDirectory(), "stud.log");
  const file = new LogFile(path, clock);
  return { path, file, pass: (ms) => clock.advance(ms) };
}

/** A FIFO that is read only when the test reads. */
function newFifo(path: string): { read(): number; close(): void } {
  execFileSync("mkfifo", [path]);
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const buffer = Buffer.alloc(1024 * 1024);
  return {
    /** How many bytes are in it now. */
    read() {
      let bytes = 0;
      try {
        for (let n; (n = readSync(fd, buffer)) > 0;) bytes += n;
      } catch (error) {
        assert.equal((error as { code?: string }).code, "EAGAIN");
      }
      return bytes;
    },
    close: () => closeSync(fd),
  };
}

function text(path: string): string {
  return readFileSync(path, "utf8");
}

/** This process's descriptors of files whose path begins so, also of removed ones. */
function descriptorsOn(path: string): string[] {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path);
    } catch {
      return false;
    }
  });
}

test("appends to an existing file, which not every user may read", () => {
  const { path, file } = newLog();
  assert.equal(statSync(path).mode & 0o137, 0);
  file.write("one");
  file.close();
  const again = new LogFile(path);
  again.write("two");
  assert.equal(text(path), "one\ntwo\n");
  again.close();
});

test("continues in a new file after the old one was renamed, which is checked once a second", async () => {
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
  await until(() => descriptorsOn(path).length === 1, "the old file is closed");
  file.close();
});

test("continues in the file that replaced it", () => {
  const { path, file, pass } = newLog();
  rmSync(path);
  writeFileSync(path, "");
  pass(1000);
  file.write("one");
  assert.equal(text(path), "one\n");
  file.close();
});

test("continues in a new file at once on request", () => {
  const { path, file } = newLog();
  file.write("one");
  renameSync(path, `${path}.1`);
  file.reopen();
  file.write("two");
  assert.equal(text(`${path}.1`), "one\n");
  assert.equal(text(path), "two\n");
  file.close();
});

test("keeps the old file while the path cannot be opened, and reports why once", () => {
  const { path, file, pass } = newLog();
  const reasons: string[] = [];
  file.onReopenFailed = (reason) => void reasons.push(reason);
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

test("a file that cannot be opened at start is a LogFileError", () => {
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

test("a FIFO without a reader is refused at once", () => {
  const path = join(temporaryDirectory(), "fifo");
  execFileSync("mkfifo", [path]);
  assert.throws(() => new LogFile(path), LogFileError);
});

const LINE = "x".repeat(999);
/** More lines of 1,000 bytes than a pipe and the queue can hold. */
const FLOOD = 1500;

test("a file closed with a slow reader does not touch its reused descriptor number", async () => {
  const path = join(temporaryDirectory(), "stud.log");
  const fifo = newFifo(path);
  const clock = new HandClock();
  const file = new LogFile(path, clock);
  for (let i = 0; i < FLOOD; i++) file.write(LINE);
  const numbers = descriptorsOn(path);
  const closing = file.close();
  clock.advance(499);
  assert.deepEqual(descriptorsOn(path), numbers, "open as long as the writer tries");
  clock.advance(1);
  const lost = await closing;
  assert.equal(descriptorsOn(path).length, numbers.length - 1);
  // The lowest free number is used first, so that one of these gets the log's.
  const other = join(temporaryDirectory(), "other");
  const others: number[] = [];
  const isReused = () => others.some((fd) => numbers.includes(String(fd)));
  while (!isReused() && others.length < 200) others.push(openSync(other, "w"));
  assert.ok(isReused(), "the number is in use again");
  assert.equal(lost, FLOOD - fifo.read() / 1000);
  clock.advance(60_000);
  assert.equal(text(other), "");
  for (const fd of others) closeSync(fd);
  fifo.close();
});

test("a path that still has the same FIFO is not reopened", () => {
  const path = join(temporaryDirectory(), "stud.log");
  const fifo = newFifo(path);
  const clock = new HandClock();
  const file = new LogFile(path, clock);
  const numbers = descriptorsOn(path);
  for (let i = 0; i < FLOOD; i++) {
    file.write(LINE);
    file.reopen();
  }
  assert.deepEqual(descriptorsOn(path), numbers);
  let received = 0;
  for (let i = 0; i < 100; i++) {
    received += fifo.read();
    clock.advance(10);
  }
  assert.ok(received % 1000 === 0 && received > 1_000_000, `${received} bytes, in order`);
  file.close();
  fifo.close();
});

test("rotations in quick succession under a flood keep descriptors and memory in bounds", async () => {
  const directory = temporaryDirectory();
  const path = join(directory, "stud.log");
  const rotations = 30;
  const fifos = [newFifo(path)];
  const clock = new HandClock();
  const file = new LogFile(path, clock);
  let lost = 0;
  file.onLost = (lines) => lost += lines;
  for (let i = 1; i <= rotations; i++) {
    for (let j = 0; j < FLOOD; j++) file.write(LINE);
    renameSync(path, `${path}.${i}`);
    fifos.push(newFifo(path));
    file.reopen();
    const own = descriptorsOn(directory).length - fifos.length;
    assert.ok(own <= 2, `${own} descriptors after ${i} rotations`);
  }
  const read = () => fifos.reduce((sum, fifo) => sum + fifo.read(), 0);
  const inPipes = read();
  // What comes now was in memory.
  let inMemory = 0;
  for (let i = 0; i < 100; i++) {
    clock.advance(10);
    inMemory += read();
  }
  assert.ok(inMemory > 0 && inMemory <= 2 * 1024 * 1024, `${inMemory} bytes`);
  // The lost lines of earlier files are reported with the next line that is written.
  await file.flush();
  file.write(LINE);
  const received = (inPipes + inMemory + read()) / 1000;
  assert.equal(received + lost, rotations * FLOOD + 1);
  await file.close();
  assert.equal(descriptorsOn(directory).length, fifos.length);
  for (const fifo of fifos) fifo.close();
});
