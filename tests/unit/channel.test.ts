import { test } from "node:test";
import assert from "node:assert/strict";
import { GrowingBuffer } from "../../src/base/growing_buffer.ts";
import { frame, FrameReader, MAX_FRAME_UP, ProtocolError } from "../../src/control/channel.ts";
import { parseWorkerEvent } from "../../src/worker_protocol/messages.ts";

function reading(limit = MAX_FRAME_UP, handle?: (value: unknown) => void) {
  const messages: unknown[] = [];
  const errors: unknown[] = [];
  const reader = new FrameReader<unknown>(limit, {
    parse: (value) => value === "refused" ? undefined : value,
    handle: handle ?? ((message) => messages.push(message)),
    internalError: (error) => errors.push(error),
  });
  return { reader, messages, errors };
}

function decode(chunks: readonly Uint8Array[], limit = MAX_FRAME_UP): unknown[] {
  const { reader, messages } = reading(limit);
  for (const chunk of chunks) reader.push(chunk);
  return messages;
}

test("a frame is a length in network order and JSON", () => {
  assert.equal(Buffer.from(frame({ a: 1 })).toString("latin1"), '\0\0\0\x07{"a":1}');
});

test("messages arrive intact however the stream is split", () => {
  const messages = [{ type: "ready" }, { text: "ü".repeat(300) }, [], "last"];
  const stream = Buffer.concat(messages.map(frame));
  for (let size = 1; size <= stream.length; size += size < 20 ? 1 : 97) {
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < stream.length; at += size) chunks.push(stream.subarray(at, at + size));
    assert.deepEqual(decode(chunks), messages, `cut every ${size} bytes`);
  }
});

test("a stream that is not the protocol is an error with the reason", () => {
  const wrong: [Uint8Array, RegExp][] = [
    [frame("x".repeat(100)), /^a frame of 102 bytes, more than 50$/],
    [Buffer.from("GET / HTTP/1.1\r\n"), /^a frame of \d+ bytes, more than 50$/],
    [Buffer.from("\0\0\0\x01{"), /^a frame that is not JSON$/],
    [Buffer.from("\0\0\0\0"), /^a frame that is not JSON$/],
    [frame("refused"), /^a malformed or unknown message without a type$/],
  ];
  for (const [bytes, message] of wrong) {
    assert.throws(
      () => decode([bytes], 50),
      (error) => error instanceof ProtocolError && message.test(error.message),
    );
  }
});

test("a refused message is named by its type, and nothing else of it is quoted", () => {
  const reader = new FrameReader(1000, {
    parse: () => undefined,
    handle: () => {},
    internalError: () => {},
  });
  assert.throws(
    () => reader.push(frame({ type: "x".repeat(60), key: "secret" })),
    { message: `a malformed or unknown message "${"x".repeat(40)}"` },
  );
});

test("after a protocol error nothing is kept or handled", () => {
  const { reader, messages } = reading(50);
  assert.throws(() => reader.push(Buffer.from("GET / HTTP/1.1\r\n")), ProtocolError);
  for (let i = 0; i < 100; i++) reader.push(frame("good"));
  assert.deepEqual(messages, []);
  assert.equal((Reflect.get(reader, "held") as GrowingBuffer).bytes.length, 0);
});

test("an exception in the handler affects its own message only", () => {
  const handled: unknown[] = [];
  const fault = new Error("a fault of ours");
  const { reader, errors } = reading(100, (value) => {
    handled.push(value);
    if (value === 2) throw fault;
  });
  reader.push(Buffer.concat([1, 2, 3].map(frame)));
  assert.deepEqual(handled, [1, 2, 3], "also those in the same chunk");
  assert.deepEqual(errors, [fault]);
});

test("only well-formed events reach the master", () => {
  const entry = { level: "warn", event: "warning", message: "m", facts: { n: 1, s: "", b: true } };
  assert.deepEqual(parseWorkerEvent({ type: "log", entry, more: 1 }), { type: "log", entry });
  const odd = { ...entry, facts: { ...entry.facts, deep: {}, nothing: null } };
  assert.deepEqual(parseWorkerEvent({ type: "log", entry: odd }), { type: "log", entry });
  assert.deepEqual(parseWorkerEvent({ type: "ready", more: 1 }), { type: "ready" });
  const limited = { type: "limited", number: 3, open: 7 } as const;
  assert.deepEqual(parseWorkerEvent({ ...limited, more: 1 }), limited);
  const swapped = { type: "swapped", number: 3 } as const;
  assert.deepEqual(parseWorkerEvent({ ...swapped, more: 1 }), swapped);
  const counters = { handshakes_total: [1, 7, 2, 0], unknown_total: [0, 2 ** 60] };
  const pong = { type: "pong", open: 7, counters } as const;
  assert.deepEqual(parseWorkerEvent({ ...pong, more: 1 }), pong);
  const wrong: unknown[] = [
    null,
    [],
    "ready",
    {},
    { type: "start" },
    { type: "constructor" },
    { type: { toString: 1 } },
    { type: "failed" },
    { type: "failed", message: 1 },
    { type: "log" },
    { type: "log", entry: { ...entry, level: "constructor" } },
    { type: "log", entry: { ...entry, event: "invented" } },
    { type: "log", entry: { ...entry, message: {} } },
    { type: "log", entry: { ...entry, facts: [] } },
    { type: "swapped" },
    { type: "limited", open: 7 },
    { ...limited, number: -1 },
    { ...limited, open: -1 },
    { ...limited, open: 0.5 },
    { ...limited, open: 2 ** 53 },
    { ...limited, open: "7" },
    { type: "pong", open: 7 },
    { type: "pong", counters },
    { ...pong, counters: [] },
    { ...pong, counters: { handshakes_total: 1 } },
    { ...pong, counters: { handshakes_total: [0, -1] } },
    { ...pong, counters: { handshakes_total: [0] } },
    { ...pong, loopDelayMs: -1 },
    { ...pong, loopDelayMs: "1" },
    { ...pong, loopDelayMs: Infinity },
    { ...pong, counters: { handshakes_total: [0, 0.5] } },
    { ...pong, counters: { handshakes_total: [0, null] } },
    { ...pong, counters: { handshakes_total: [0, 1e300] } },
    { ...pong, type: "draining", open: NaN },
  ];
  for (const value of wrong) {
    assert.equal(parseWorkerEvent(value), undefined, JSON.stringify(value));
  }
});
