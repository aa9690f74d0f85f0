import { test } from "node:test";
import assert from "node:assert/strict";
import { CounterTotals } from "../../src/base/counters.ts";
import { UsageError } from "../../src/base/errors.ts";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { Generation } from "../../src/master/workers/generation.ts";
import type { SlotWorker } from "../../src/master/workers/watched_worker.ts";
import type {
  SharedEventHandlers,
  StartCommand,
  WorkerCommand,
  WorkerEvent,
} from "../../src/worker_protocol/messages.ts";
import { HandClock } from "../support/hand_clock.ts";

/** A worker's process that does nothing by itself. */
class FakeWorker implements SlotWorker {
  onEvent: (event: WorkerEvent) => void = () => {};
  onExit: (exit: { code: number | null; signal: string | null }) => void = () => {};
  readonly pid = 1;
  readonly signals: string[] = [];

  readonly commands: string[] = [];
  send = ({ type }: WorkerCommand): void => void this.commands.push(type);

  offer(): boolean {
    return true;
  }

  kill(signal: string): void {
    this.signals.push(signal);
  }
}

/** Two workers that are starting. */
function starting(handlers: Partial<SharedEventHandlers> = {}) {
  const clock = new HandClock();
  const workers: FakeWorker[] = [];
  const entries: LogEntry[] = [];
  const counted = { frontends: [], alpn: [] };
  const commands = [1, 2].map((slot) => ({ type: "start", slot, counted }));
  const generation = new Generation(
    1,
    commands as unknown as StartCommand[],
    { adopt: true, watchdog: 30, totals: new CounterTotals(), clock },
    {
      spawn: () => {
        workers.push(new FakeWorker());
        return workers.at(-1)!;
      },
      shared: handlers as SharedEventHandlers,
      staples: () => [],
      log: (entry) => entries.push(entry),
      ready: () => {},
      empty: () => {},
    },
  );
  /** Checks every second, as the master does. */
  const checkFor = (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      clock.advance(1000);
      generation.check();
    }
    clock.advance(100);
  };
  return { checkFor, generation, workers, entries, started: generation.start() };
}

function answerPings(worker: FakeWorker): void {
  const { send } = worker;
  worker.send = (command) => {
    send(command);
    worker.onEvent({ type: "pong", open: 0, counters: {} });
  };
}

test("a generation has started when all its workers accept", async () => {
  const { checkFor, workers, started } = starting();
  for (const worker of workers) worker.onEvent({ type: "ready" });
  await started;
  checkFor(20);
  assert.deepEqual(workers.map(({ signals }) => signals), [[], []], "its time limit is over");
});

test("a worker that hangs at its start is killed and fails the generation; the others drain", async () => {
  const { checkFor, generation, workers, entries, started } = starting();
  workers[0]!.onEvent({ type: "ready" });
  answerPings(workers[0]!);
  const refused = assert.rejects(started, (error) => {
    assert.ok(error instanceof UsageError);
    assert.match(error.message, /^worker 2 \w+ \w+: it does not accept connections after 60 s$/);
    return true;
  });
  checkFor(60);
  assert.deepEqual(workers.map(({ signals }) => signals), [[], []]);
  checkFor(1);
  await refused;
  assert.deepEqual(workers.map(({ signals }) => signals.includes("SIGKILL")), [false, true]);
  assert.deepEqual(workers.map(({ commands }) => commands.includes("drain")), [true, false]);
  // Neither is a crash.
  workers[1]!.onExit({ code: null, signal: "SIGKILL" });
  assert.equal(generation.isEmpty, false);
  workers[0]!.onExit({ code: 0, signal: null });
  assert.equal(generation.isEmpty, true);
  assert.ok(!entries.some(({ event }) => event === "worker-exited"));
});

test("the watchdog covers a generation that is still starting", async () => {
  const { checkFor, workers, started } = starting();
  workers[0]!.onEvent({ type: "ready" });
  const refused = assert.rejects(started, (error) => {
    assert.ok(error instanceof UsageError);
    assert.match(error.message, /^worker 1 cannot start: .*the watchdog because it did not answer/);
    return true;
  });
  checkFor(32);
  workers[0]!.onExit({ code: null, signal: "SIGKILL" });
  await refused;
  assert.ok(workers[1]!.signals.includes("SIGKILL"));
});

test("an event that does not concern a slot reaches its handler, which can answer", () => {
  const seen: unknown[] = [];
  const { workers } = starting({
    "backend-answers": (event) => void seen.push(event),
    "session-wanted": (event, answer) => {
      seen.push(event.type);
      answer({ type: "session-found", number: event.number });
    },
  });
  workers[1]!.onEvent({ type: "backend-answers", at: 5 });
  workers[1]!.onEvent({ type: "session-wanted", policy: "policy", id: "id", number: 7 });
  assert.deepEqual(seen, [{ type: "backend-answers", at: 5 }, "session-wanted"]);
});
