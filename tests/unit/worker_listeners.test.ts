import assert from "node:assert/strict";
import { test } from "node:test";
import * as runtime from "#runtime";
import type { StartCommand } from "../../src/worker_protocol/messages.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { Libc } from "../../src/os/libc.ts";
import type { Listener } from "../../src/runtime/listener.ts";
import { type ListenerEvents, WorkerListeners } from "../../src/worker/listeners.ts";
import { until } from "../support/until.ts";

/** The offset in `struct tcp_info` where a listening socket has its queue length (tcp(7)). */
const UNACKED_OFFSET = 24;

/** A worker's listeners with one socket of a fake kernel, in whose queue a connection waits. */
function queued({ isPaused = false, activated = false } = {}) {
  const state = { waiting: 1, looks: 0, isClosed: false };
  const libc = {
    dup: (fd: number) => fd,
    close: () => 0,
    getsockopt(_fd: number, _level: number, _option: number, value: Uint8Array) {
      state.looks++;
      value[UNACKED_OFFSET] = state.waiting;
      return 0;
    },
  } as unknown as Libc;
  const listener = {
    pause() {},
    close() {
      state.isClosed = true;
      return Promise.resolve();
    },
  } as unknown as Listener;
  const endpoint = { family: 4, address: "127.0.0.1", port: 443 } as const;
  const command = {
    slot: 1,
    settings: { acceptProxy: { mode: "none", trusted: [] }, backlog: 1 },
    listeners: [{ endpoint, fds: [9], activated, frontend: 0 }],
  } as unknown as StartCommand;
  const adopting = { ...runtime.capabilities, adoptSockets: true };
  const events = { tls: () => undefined, isPaused: () => isPaused } as unknown as ListenerEvents;
  const fake = { capabilities: adopting, libc, listen: () => listener } as unknown as Runtime;
  const listeners = new WorkerListeners(fake, command, events);
  listeners.listen(1);
  return { state, listeners };
}

test("a worker that closes its listeners first accepts the connections in its queue", async () => {
  const { state, listeners } = queued();
  const closed = listeners.close();
  await until(() => state.looks > 1, "another check of the queue");
  assert.equal(state.isClosed, false);
  state.waiting = 0;
  await closed;
  assert.equal(state.isClosed, true);
});

test("it does not wait for a queue while it is paused, nor for one that outlives it", async () => {
  for (const how of [{ isPaused: true }, { activated: true }]) {
    const { state, listeners } = queued(how);
    await listeners.close();
    assert.deepEqual(state, { waiting: 1, looks: 0, isClosed: true });
  }
});
