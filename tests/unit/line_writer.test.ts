import { test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LineWriter } from "../../src/line_writer.ts";

/** A pipe whose writer does not block, as standard error can be. */
function withPipe(run: (input: number, output: number) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "stud-test-"));
  const path = join(directory, "pipe");
  execFileSync("mkfifo", [path]);
  const output = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const input = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  return run(input, output).finally(() => {
    closeSync(input);
    closeSync(output);
    rmSync(directory, { recursive: true });
  });
}

function nextLook(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

/** All that is in the pipe now. */
function readNow(fd: number): string {
  const parts: string[] = [];
  const buffer = Buffer.alloc(65536);
  try {
    for (let n; (n = readSync(fd, buffer)) > 0;) parts.push(buffer.toString("latin1", 0, n));
  } catch (error) {
    assert.equal((error as { code?: string }).code, "EAGAIN");
  }
  return parts.join("");
}

test("lines that a full pipe does not take arrive later, whole and in order", () =>
  withPipe(async (input, output) => {
    const writer = new LineWriter(input);
    const lines = Array.from({ length: 3000 }, (_, i) => `${i} ${"x".repeat(100)}`);
    for (const line of lines) writer.write(line);
    let text = "";
    const deadline = Date.now() + 10_000;
    while (text.length < lines.join("\n").length + 1 && Date.now() < deadline) {
      text += readNow(output);
      await nextLook();
    }
    assert.equal(text, lines.join("\n") + "\n");
  }));

test("what does not fit the bounded queue is counted, and told when there is room", () =>
  withPipe(async (input, output) => {
    const writer = new LineWriter(input);
    const told: number[] = [];
    writer.onDropped = (lines) => told.push(lines);
    for (let i = 0; i < 3000; i++) writer.write("x".repeat(999));
    assert.deepEqual(told, []);
    let received = 0;
    const deadline = Date.now() + 10_000;
    while (told.length === 0 && Date.now() < deadline) {
      received += readNow(output).length / 1000;
      await nextLook();
    }
    received += readNow(output).length / 1000;
    assert.deepEqual(told, [3000 - received]);
    assert.ok(received > 1000, `${received} lines fit the pipe and the queue`);
  }));

test("lines that a full disk refuses are given up at once, and are never told into it", async () => {
  const fd = openSync("/dev/full", constants.O_WRONLY);
  const writer = new LineWriter(fd);
  const told: number[] = [];
  writer.onDropped = (lines) => told.push(lines);
  for (let i = 0; i < 3; i++) writer.write("lost");
  let isFlushed = false;
  const flushing = writer.flush().then(() => isFlushed = true);
  await nextLook();
  assert.ok(isFlushed, "nothing waits");
  await flushing;
  assert.deepEqual(told, []);
  closeSync(fd);
});
