import { test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { LineWriter } from "../../src/log/line_writer.ts";
import { type Output, ownOutput } from "../../src/log/output.ts";
import { HandClock } from "../support/hand_clock.ts";
import { temporaryDirectory } from "../support/system.ts";
import { until } from "../support/until.ts";

/** A pipe whose writer does not block. */
function pipe(): { reader: number; output: Output } {
  const path = join(temporaryDirectory(), "pipe");
  execFileSync("mkfifo", [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return { reader, output: ownOutput(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)) };
}

/** Everything that is in the pipe now. */
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

/** An output that accepts as many bytes as the test allows. */
class FakeOutput implements Output {
  text = "";
  closed = 0;
  /** Bytes that it takes until it is full. */
  room = Infinity;
  isBroken = false;

  write(bytes: Uint8Array): number | "full" | "refused" {
    assert.equal(this.closed, 0, "nothing is written to a closed output");
    if (this.isBroken) return "refused";
    const taken = Math.min(this.room, bytes.length);
    if (taken === 0) return "full";
    this.room -= taken;
    this.text += Buffer.from(bytes.subarray(0, taken)).toString("latin1");
    return taken;
  }

  close(): void {
    this.closed++;
  }
}

function fake() {
  const output = new FakeOutput();
  const clock = new HandClock();
  const writer = new LineWriter(output, clock);
  const lost: number[] = [];
  writer.onLost = (lines) => lost.push(lines);
  return { output, clock, writer, lost };
}

test("lines that a full pipe does not accept arrive later, complete and in order", async () => {
  const { reader, output } = pipe();
  const writer = new LineWriter(output);
  const lines = Array.from({ length: 3000 }, (_, i) => `${i} ${"x".repeat(100)}`);
  for (const line of lines) writer.write(line);
  let text = "";
  const all = lines.join("\n") + "\n";
  await until(() => (text += readNow(reader)).length >= all.length, "all lines");
  assert.equal(text, all);
  assert.equal(await writer.close(), 0);
  closeSync(reader);
});

test("lines that do not fit the bounded queue are counted, and reported once there is space", async () => {
  const { reader, output } = pipe();
  const writer = new LineWriter(output);
  const lost: number[] = [];
  writer.onLost = (lines) => lost.push(lines);
  for (let i = 0; i < 3000; i++) writer.write("x".repeat(999));
  assert.deepEqual(lost, []);
  let received = 0;
  await until(() => {
    received += readNow(reader).length / 1000;
    return lost.length > 0;
  }, "the number of lost lines");
  received += readNow(reader).length / 1000;
  assert.deepEqual(lost, [3000 - received]);
  assert.ok(received > 1000, `${received} lines fit the pipe and the queue`);
  writer.abandon();
  closeSync(reader);
});

test("lines that a full disk refuses are dropped at once, and not reported to it", async () => {
  const writer = new LineWriter(ownOutput(openSync("/dev/full", constants.O_WRONLY)));
  writer.onLost = () => assert.fail("reported to the full disk");
  for (let i = 0; i < 3; i++) writer.write("lost");
  await writer.flush();
  assert.equal(await writer.close(), 3);
});

test("after an incomplete line, the next one begins on a line of its own", () => {
  const { output, clock, writer, lost } = fake();
  output.room = 6;
  writer.write("first line");
  output.isBroken = true;
  clock.advance(10);
  output.isBroken = false;
  output.room = Infinity;
  writer.write("second line");
  assert.equal(output.text, "first \nsecond line\n");
  assert.deepEqual(lost, [1]);
});

test("a writer closes its output after the last waiting line", async () => {
  const { output, clock, writer } = fake();
  output.room = 3;
  writer.write("one");
  writer.write("two");
  const closing = writer.close();
  clock.advance(400);
  assert.equal(output.closed, 0);
  output.room = Infinity;
  clock.advance(10);
  assert.equal(await closing, 0);
  assert.equal(output.text, "one\ntwo\n");
  assert.equal(output.closed, 1);
});

test("a writer closes its output after half a second, and never writes to it again", async () => {
  const { output, clock, writer } = fake();
  output.room = 5;
  for (const line of ["one", "two", "three"]) writer.write(line);
  const closing = writer.close();
  clock.advance(500);
  assert.equal(await closing, 2);
  assert.equal(output.closed, 1);
  output.room = Infinity;
  writer.write("four");
  clock.advance(60_000);
  assert.equal(output.text, "one\nt");
});

test("a writer that is closing can be abandoned at once", async () => {
  const { output, clock, writer } = fake();
  output.room = 0;
  writer.write("one");
  const closing = writer.close();
  assert.equal(writer.abandon(), 1);
  assert.equal(await closing, 0, "each lost line is counted once");
  clock.advance(60_000);
  assert.equal(output.closed, 1);
});

test("lines that another writer lost are reported with the writer's own", () => {
  const { output, writer, lost } = fake();
  writer.addLost(3);
  output.isBroken = true;
  writer.write("lost");
  assert.deepEqual(lost, []);
  output.isBroken = false;
  writer.write("written");
  assert.deepEqual(lost, [4]);
});
