import { test } from "node:test";
import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { frame, FrameReader, FrameWriter, MAX_FRAME_UP } from "../../src/control/channel.ts";
import { parseWorkerEvent } from "../../src/worker_protocol/messages.ts";

function decode(chunks: readonly Uint8Array[], limit = MAX_FRAME_UP): unknown[] {
  const messages: unknown[] = [];
  const reader = new FrameReader(limit, (message) => messages.push(message));
  for (const chunk of chunks) reader.push(chunk);
  return messages;
}

test("a frame is a length in network order and JSON", () => {
  assert.equal(Buffer.from(frame({ a: 1 })).toString("latin1"), '\0\0\0\x07{"a":1}');
});

test("messages survive every way of cutting the stream", () => {
  const messages = [{ type: "ready" }, { text: "ü".repeat(300) }, [], "last"];
  const stream = Buffer.concat(messages.map(frame));
  for (let size = 1; size <= stream.length; size += size < 20 ? 1 : 97) {
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < stream.length; at += size) chunks.push(stream.subarray(at, at + size));
    assert.deepEqual(decode(chunks), messages, `cut every ${size} bytes`);
  }
});

test("a frame over the limit and one that is not JSON are errors", () => {
  assert.throws(() => decode([frame("x".repeat(100))], 50), /control frame of 102 bytes/);
  assert.throws(() => decode([Buffer.from("\0\0\0\x01{")]), SyntaxError);
});

test("the writer keeps order, and counts what its bounded queue cannot hold", async () => {
  const folder = mkdtempSync(join(tmpdir(), "stud-test-"));
  const file = join(folder, "reports");
  const fd = openSync(file, "w");
  try {
    const writer = new FrameWriter(fd, 1000);
    const sent = Array.from({ length: 200 }, (_, i) => i).filter((i) => writer.send({ i }));
    assert.ok(sent.length > 10 && sent.length < 200, `${sent.length} fit`);
    assert.equal(writer.takeDropped(), 200 - sent.length);
    assert.equal(writer.takeDropped(), 0);
    const expected = Buffer.concat(sent.map((i) => frame({ i }))).length;
    await new Promise<void>((resolve) => writer.flush(resolve));
    assert.equal(readFileSync(file).length, expected);
    assert.deepEqual(decode([readFileSync(file)]), sent.map((i) => ({ i })));
    assert.equal(writer.send({ text: "x".repeat(MAX_FRAME_UP) }), false, "larger than a frame");
  } finally {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  }
});

test("only well-formed reports reach the master", () => {
  const entry = { level: "warn", event: "e", message: "m", facts: { n: 1, s: "", b: true } };
  assert.deepEqual(parseWorkerEvent({ type: "log", entry, more: 1 }), { type: "log", entry });
  assert.deepEqual(parseWorkerEvent({ type: "ready", more: 1 }), { type: "ready" });
  const limited = { type: "limited", open: 7 } as const;
  assert.deepEqual(parseWorkerEvent({ ...limited, more: 1 }), limited);
  const counts = { accepted: 3, full: 1, resumed: 2 };
  const pong = { type: "pong", open: 7, ...counts } as const;
  assert.deepEqual(parseWorkerEvent({ ...pong, more: 1 }), pong);
  const wrong: unknown[] = [
    null,
    [],
    "ready",
    {},
    { type: "start" },
    { type: "failed" },
    { type: "failed", message: 1 },
    { type: "log" },
    { type: "log", entry: { ...entry, level: "constructor" } },
    { type: "log", entry: { ...entry, message: {} } },
    { type: "log", entry: { ...entry, facts: { deep: {} } } },
    { type: "limited" },
    { type: "limited", open: -1 },
    { type: "limited", open: 0.5 },
    { type: "limited", open: 2 ** 53 },
    { type: "limited", open: "7" },
    { type: "pong", open: 7 },
    ...Object.keys(counts).map((count) => ({ ...pong, [count]: -1 })),
    { ...pong, type: "draining", resumed: NaN },
  ];
  for (const value of wrong) {
    assert.equal(parseWorkerEvent(value), undefined, JSON.stringify(value));
  }
});
