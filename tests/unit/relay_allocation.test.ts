import assert from "node:assert/strict";
import { test } from "node:test";
import process from "node:process";
import { Connections } from "../../src/connection/connections.ts";
import type { StreamHandler } from "../../src/runtime/stream.ts";
import type { Stream } from "../../src/runtime/stream.ts";
import type { IpEndpoint } from "../../src/os/endpoint.ts";
import { connectionSettings } from "../support/fake_streams.ts";
import { HandClock } from "../support/hand_clock.ts";

const somewhere: IpEndpoint = { family: 4, address: "192.0.2.1", port: 1 };

/** A stream that accepts everything at once. */
function sink(): Stream {
  const stream: Partial<Stream> = {
    remote: somewhere,
    local: somewhere,
    write: () => true,
    pause() {},
    resume() {},
  };
  return stream as Stream;
}

function established(): { connection: StreamHandler; client: Stream; backend: Stream } {
  const backend = sink();
  const settings = connectionSettings({ backend: somewhere, idleTimeout: 1, maxLifetime: 1 });
  const events = { established() {}, failed() {}, closed() {} };
  const clock = new HandClock();
  const connections = new Connections({ connect: () => backend }, settings, events, clock);
  const client = sink();
  const connection = connections.accept(client);
  connection.opened(client);
  connection.opened(backend);
  return { connection, client, backend };
}

// JavaScriptCore updates the size of its heap only after a collection.
const skip = process.versions.v8 === undefined || process.versions.bun !== undefined;

test("the core passes chunks on without allocating", { skip }, () => {
  const { connection, client, backend } = established();
  const bytes = new Uint8Array(100);
  const relay = (times: number) => {
    for (let i = 0; i < times; i++) {
      connection.received(client, bytes);
      connection.received(backend, bytes);
    }
  };
  // Few chunks, so that a collection seldom interferes; the median of several tries counts.
  const CHUNKS = 1000;
  const allocated = () => {
    const tries = Array.from({ length: 9 }, () => {
      const before = process.memoryUsage().heapUsed;
      relay(CHUNKS);
      return (process.memoryUsage().heapUsed - before) / (2 * CHUNKS);
    });
    return tries.sort((a, b) => a - b)[4]!;
  };
  // The smallest object has 16 bytes; the measurement itself allocates less per chunk. Code that is not
  // yet compiled allocates more, and the compiler is a thread that a busy machine may hold up.
  const MAX_BYTES = 10;
  let each = Infinity;
  for (let round = 0; round < 100 && each >= MAX_BYTES; round++) {
    relay(20_000);
    each = allocated();
  }
  assert.ok(each < MAX_BYTES, `${each.toFixed(1)} bytes per chunk`);
});
