/**
 * The contract of src/runtime/ for pausing a listener, run against the adapter of the runtime that
 * executes this file.
 */
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import type { Stream } from "../../src/runtime/stream.ts";
import {
  answering,
  listen,
  type Listening,
  Recorder,
  serve,
  text,
  tlsClient,
  until,
  visit,
} from "../support/adapter.ts";

const limit = { timeout: 60_000 };
const directory = mkdtempSync(join(tmpdir(), "stud-pause-"));
after(() => rmSync(directory, { recursive: true, force: true }));

/** Echoes bytes. */
function echo(stream: Stream): Recorder {
  const handler = new Recorder({
    ...answering,
    received: (from, bytes) => void from.write(new Uint8Array(bytes)),
  });
  return handler.take(stream);
}

/** An echo server that pauses at `max` connections. */
function limited(max: number) {
  const accepted: Recorder[] = [];
  const state = { max };
  const listening: Listening = listen({
    accepted(stream) {
      if (accepted.push(echo(stream)) >= state.max) listening.listener.pause();
      return accepted.at(-1)!;
    },
  });
  return { ...listening, accepted, state };
}

async function roundTrip(client: TLSSocket): Promise<void> {
  client.write("ping");
  const [answer] = await once(client, "data");
  assert.equal(String(answer), "ping");
}

function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

test(
  "a listener that is paused while it accepts takes no more, of those that wait too",
  limit,
  async () => {
    const { port, listener, accepted, state, stop } = limited(2);
    const clients = Array.from({ length: 6 }, () => tlsClient(port));
    await until(() => accepted.length === 2, "two are accepted");
    const first = await Promise.any(clients);
    for (let i = 0; i < 20; i++) await roundTrip(first);
    assert.equal(accepted.length, 2, "the others wait");
    state.max = 4;
    listener.resume();
    await until(() => accepted.length === 4, "two more");
    for (let i = 0; i < 20; i++) await roundTrip(first);
    assert.equal(accepted.length, 4, "two still wait");
    state.max = 100;
    listener.resume();
    for (const client of await Promise.all(clients)) {
      await roundTrip(client);
      client.end();
    }
    assert.equal(accepted.length, 6, "no client was lost");
    await stop();
  },
);

test("a listener that is paused while idle accepts no more", limit, async () => {
  const { port, listener, accepted, stop } = limited(100);
  const first = await tlsClient(port);
  listener.pause();
  listener.pause();
  const clients = Array.from({ length: 3 }, () => tlsClient(port));
  for (let i = 0; i < 20; i++) await roundTrip(first);
  assert.equal(accepted.length, 1);
  listener.resume();
  listener.resume();
  for (const client of [first, ...await Promise.all(clients)]) {
    await roundTrip(client);
    client.end();
  }
  await stop();
});

test("sessions resume after a pause", limit, async () => {
  const frontend = serve({});
  const session = join(directory, "session");
  assert.match(await visit(frontend.port, "-tls1_2", "-sess_out", session), /^New, /m);
  frontend.listener.pause();
  frontend.listener.resume();
  assert.match(await visit(frontend.port, "-tls1_2", "-sess_in", session), /^Reused, /m);
  await frontend.stop();
});

test("a paused listener can be closed, and its connections continue", limit, async () => {
  const { port, listener, stop } = limited(1);
  const client = await tlsClient(port);
  listener.close();
  listener.resume();
  listener.pause();
  await roundTrip(client);
  const refused = connectTcp(port, "127.0.0.1");
  const [error] = await once(refused, "error") as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNREFUSED");
  client.end();
  await stop();
});

test("many pauses leak no descriptor", limit, async () => {
  const { port, listener, accepted, stop } = limited(1);
  const visitOnce = async () => {
    const client = await tlsClient(port);
    client.end();
    await until(() => accepted.every((handler) => handler.closes === 1), "it has ended");
    client.destroy();
    listener.resume();
  };
  await visitOnce();
  const before = descriptors();
  for (let i = 0; i < 50; i++) await visitOnce();
  await until(() => descriptors() <= before, `${before} descriptors, as before`);
  assert.equal(accepted.length, 51);
  await stop();
});

test("clients without TLS wait as well", limit, async () => {
  const accepted: Recorder[] = [];
  const { port, listener, stop } = listen({
    settings: null,
    accepted(stream) {
      listener.pause();
      const handler = new Recorder({
        ...answering,
        opened: () => void (stream.write(text("GOT")), stream.finish()),
      });
      accepted.push(handler.take(stream));
      return handler;
    },
  });
  const visitors = Array.from({ length: 3 }, async () => {
    const socket = connectTcp(port, "127.0.0.1");
    const [greeting] = await once(socket, "data");
    socket.end();
    return String(greeting);
  });
  for (let count = 1; count <= 3; count++) {
    await until(() => accepted.at(count - 1)?.closes === 1, `visitor ${count} was served`);
    assert.equal(accepted.length, count);
    listener.resume();
  }
  assert.deepEqual(await Promise.all(visitors), ["GOT", "GOT", "GOT"]);
  await stop();
});
