import { test } from "node:test";
import assert from "node:assert/strict";
import { frame, FrameReader, MAX_FRAME_UP } from "../../src/control/channel.ts";
import { FrameWriter } from "../../src/control/frame_writer.ts";
import { HandClock } from "../support/hand_clock.ts";

/** A writer whose master reads only when the test allows it. */
function writing(maxQueued?: number) {
  const clock = new HandClock();
  const read: unknown[] = [];
  const reader = new FrameReader<unknown>(MAX_FRAME_UP, {
    parse: (value) => value,
    handle: (message) => read.push(message),
    internalError: assert.fail,
  });
  let room = 0;
  const writer = new FrameWriter((bytes) => {
    const taken = Math.min(room, bytes.length);
    room -= taken;
    reader.push(new Uint8Array(bytes.subarray(0, taken)));
    return taken;
  }, { clock, ...(maxQueued === undefined ? {} : { maxQueued }) });
  /** The socket has room for this many bytes more. */
  const makeRoom = (bytes: number) => {
    room += bytes;
    clock.advance(10);
  };
  let flushes = 0;
  const flush = () => writer.flush(() => flushes++);
  return { writer, read, makeRoom, flush, flushed: () => flushes > 0 };
}

test("a socket with space gets every message at once, in order", () => {
  const { writer, read, makeRoom } = writing();
  makeRoom(10_000);
  for (const i of [1, 2, 3]) writer.send(i);
  assert.deepEqual(read, [1, 2, 3]);
});

test("what the socket does not accept waits, wherever frames are split", () => {
  for (let room = 1; room < 40; room++) {
    const { writer, read, makeRoom, flush, flushed } = writing();
    const sent = Array.from({ length: 10 }, (_, i) => ({ i, text: "x".repeat(i * 3) }));
    for (const message of sent) assert.equal(writer.send(message), true);
    flush();
    while (!flushed()) makeRoom(room);
    assert.deepEqual(read, sent, `${room} bytes at a time`);
  }
});

test("the queue is bounded, and a message larger than a frame is refused", () => {
  const { writer, read, makeRoom } = writing(1000);
  const sent = Array.from({ length: 200 }, (_, i) => i).filter((i) => writer.send({ i }));
  assert.ok(sent.length > 10 && sent.length < 200, `${sent.length} fit`);
  makeRoom(1e6);
  assert.deepEqual(read, sent.map((i) => ({ i })));
  assert.equal(writer.send({ text: "x".repeat(MAX_FRAME_UP) }), false);
});

test("answers overtake megabytes of log entries, except for the frame in progress", () => {
  const { writer, read, makeRoom } = writing();
  makeRoom(10);
  for (let i = 0; i < 5000; i++) writer.sendLog(() => ({ log: i, text: "x".repeat(400) }));
  for (const answer of ["pong", "limited"]) assert.equal(writer.send(answer), true);
  makeRoom(1200);
  assert.deepEqual(
    read.map((message) => typeof message === "string" ? message : (message as { log: number }).log),
    [0, "pong", "limited", 1],
  );
});

test("log entries that do not fit are counted, and leave room for answers", () => {
  const { writer, read, makeRoom } = writing(1000);
  let refused = 0;
  for (let i = 0; i < 200; i++) {
    if (!writer.sendLog((dropped) => ({ log: i, dropped }))) refused++;
  }
  assert.equal(writer.send("pong"), true);
  makeRoom(1e6);
  const { length } = read;
  assert.ok(length > 10 && length < 100, `${length - 1} fit`);
  for (const log of [200, 201]) writer.sendLog((dropped) => ({ log, dropped }));
  const dropped = 200 - (length - 1);
  assert.equal(refused, dropped);
  assert.deepEqual(read.slice(length), [{ log: 200, dropped }, { log: 201, dropped: 0 }]);
});

test("what can be omitted leaves room for answers", () => {
  const { writer, makeRoom } = writing(1000);
  while (writer.offer({ session: "x".repeat(20) }));
  for (const answer of ["pong", "limited", "draining"]) assert.equal(writer.send(answer), true);
  assert.equal(writer.offer({ session: "x" }), false);
  makeRoom(1e6);
  assert.equal(writer.offer({ session: "x" }), true);
});

test("flush calls back once everything is written, including log entries", () => {
  const { writer, flush, flushed, makeRoom } = writing();
  flush();
  assert.equal(flushed(), true, "nothing waits");
  const waiting = writing();
  waiting.writer.sendLog(() => "log");
  waiting.writer.send("answer");
  waiting.flush();
  waiting.makeRoom(frame("log").length);
  assert.equal(waiting.flushed(), false);
  waiting.makeRoom(100);
  assert.equal(waiting.flushed(), true);
  makeRoom(100);
  assert.equal(writer.send("more"), true);
});
