import { test } from "node:test";
import assert from "node:assert/strict";
import { frame } from "../../src/control/channel.ts";
import { workerSettings } from "../../src/options/worker_settings.ts";
import type { StartCommand, WorkerCommand } from "../../src/worker_protocol/messages.ts";
import { startChild } from "../support/child.ts";
import { start } from "../support/parse.ts";
import { until } from "../support/until.ts";

/** A minimal start command, without listeners. */
const startCommand: StartCommand = {
  type: "start",
  slot: 1,
  serves: [],
  settings: workerSettings(start([]).config),
  tls: { certificates: [], trusts: [], frontends: [], alpn: [] },
  backend: { family: 4, address: "127.0.0.1", port: 1 },
  backendSources: [],
  listeners: [],
  counted: { frontends: [], alpn: [] },
};

/** Bytes that are not the protocol. */
const GARBAGE = Buffer.from("\0\0\0\x01{");

/** A started worker; `sends` sends it commands, `events` are its events since the start. */
async function startedWorker() {
  const { pid, stdin, events, exited } = startChild("worker_main.ts");
  const sends = (...commands: readonly WorkerCommand[]) =>
    stdin.write(Buffer.concat(commands.map(frame)));
  sends(startCommand);
  await until(() => events.length > 0, "its first event");
  assert.deepEqual(events, [{ type: "ready" }]);
  events.length = 0;
  return { pid, stdin, events, exited, sends };
}

/** The messages of log events, and the types of the others. */
function summary(events: readonly unknown[]): string[] {
  const known = events as { type: string; entry?: { message: string } }[];
  return known.map(({ type, entry }) => entry?.message ?? type);
}

test("a repeated command is answered again, with its own number", async () => {
  const { events, exited, sends } = await startedWorker();
  const { tls } = startCommand;
  for (let i = 0; i < 2; i++) {
    sends({ type: "limit", number: 7, connections: 3 }, { type: "tls", number: 5, tls });
  }
  await until(() => events.length === 4, "four answers");
  const answers = [{ type: "limited", number: 7, open: 0 }, { type: "swapped", number: 5 }];
  const byType = (type: string) =>
    events.filter((event) => (event as { type: string }).type === type);
  assert.deepEqual(byType("limited"), [answers[0], answers[0]]);
  assert.deepEqual(byType("swapped"), [answers[1], answers[1]]);
  sends({ type: "exit" });
  assert.deepEqual(await exited, [0, null]);
});

test("a command whose handler throws is an internal error, and the next one is handled", async () => {
  const { events, exited, sends } = await startedWorker();
  // The worker has no keyring.
  sends({ type: "tickets", ring: undefined! }, { type: "ping" });
  await until(() => events.length === 2, "an error and an answer");
  assert.deepEqual(summary(events).filter((each) => !/^internal error/.test(each)), ["pong"]);
  sends({ type: "exit" });
  assert.deepEqual(await exited, [0, null]);
});

test("a worker that wants a successor asks again with each answer, until it drains", async () => {
  const { pid, events, exited, sends } = await startedWorker();
  // Deno's own `kill` of a child would close its pipes.
  process.kill(pid, "SIGTERM");
  await until(() => events.length === 1, "the request");
  sends({ type: "ping" }, { type: "ping" });
  await until(() => events.length === 5, "it is repeated");
  assert.deepEqual(summary(events), [
    "successor-wanted",
    "pong",
    "successor-wanted",
    "pong",
    "successor-wanted",
  ]);
  sends({ type: "drain" });
  assert.deepEqual(await exited, [0, null]);
  assert.ok(summary(events).slice(5).every((type) => type === "draining"));
});

test("a worker that cannot read its commands asks for a successor, drains and says why", async () => {
  const { stdin, events, exited } = await startedWorker();
  stdin.write(GARBAGE);
  assert.deepEqual(await exited, [0, null]);
  const said = summary(events);
  assert.ok(said.includes("internal error: a frame that is not JSON; please report it"));
  assert.ok(said.includes("successor-wanted"));
  assert.equal(said.at(-1), "draining");
});

test("a worker that cannot read its start command exits", async () => {
  const { stdin, events, exited } = startChild("worker_main.ts");
  stdin.write(GARBAGE);
  assert.deepEqual(await exited, [1, null]);
  assert.deepEqual(summary(events), [
    "internal error: a frame that is not JSON; please report it",
  ]);
});
