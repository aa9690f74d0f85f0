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

  send({ type }: WorkerCommand): void {
    this.commands.push(type);
  }

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
  const commands = [1, 2].map((slot) => ({ type: "start", slot, tls: { alpn: [] as string[] } }));
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
  return { clock, generation, workers, entries, started: generation.start() };
}

test("a generation has started when all its workers accept", async () => {
  const { clock, workers, started } = starting();
  for (const worker of workers) worker.onEvent({ type: "ready" });
  await started;
  clock.advance(120_000);
  assert.deepEqual(workers.map(({ signals }) => signals), [[], []], "its time limit is over");
});

test("a worker that hangs at its start is killed and fails the generation; the others drain", async () => {
  const { clock, generation, workers, entries, started } = starting();
  workers[0]!.onEvent({ type: "ready" });
  const refused = assert.rejects(started, (error) => {
    assert.ok(error instanceof UsageError);
    assert.match(error.message, /^worker 2 \w+ \w+: it does not accept connections after 60 s$/);
    return true;
  });
  clock.advance(59_999);
  assert.deepEqual(workers.map(({ signals }) => signals), [[], []]);
  clock.advance(1);
  await refused;
  assert.deepEqual(workers.map(({ signals }) => signals), [[], ["SIGKILL"]]);
  assert.deepEqual(workers.map(({ commands }) => commands.includes("drain")), [true, false]);
  // Neither is a crash.
  workers[1]!.onExit({ code: null, signal: "SIGKILL" });
  assert.equal(generation.isEmpty, false);
  workers[0]!.onExit({ code: 0, signal: null });
  assert.equal(generation.isEmpty, true);
  assert.ok(!entries.some(({ event }) => event === "worker-exited"));
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
