import { test } from "node:test";
import assert from "node:assert/strict";
import type {
  StartCommand,
  WorkerCommand,
  WorkerEvent,
} from "../../src/worker_protocol/messages.ts";
import type { StapleCommand } from "../../src/ocsp/staples.ts";
import type { ServedTls } from "../../src/certificates/served_tls.ts";
import { type Ending, Slot, type SlotWorker } from "../../src/master/workers/slot.ts";
import type { WorkerExit } from "../../src/master/workers/worker_process.ts";
import { HandClock } from "../support/hand_clock.ts";

/** A worker's process as the slot sees it, without a process. */
class FakeWorker implements SlotWorker {
  onEvent: (report: WorkerEvent) => void = () => {};
  onExit: (exit: WorkerExit) => void = () => {};
  askedAt: number | undefined;
  open = 0;
  readonly commands: WorkerCommand["type"][] = [];
  readonly signals: string[] = [];
  readonly pid = 1;

  send(command: WorkerCommand): void {
    this.commands.push(command.type);
  }

  offer(command: WorkerCommand): boolean {
    this.send(command);
    return true;
  }

  kill(signal: string): void {
    this.signals.push(signal);
  }

  ready(): void {
    this.onEvent({ type: "ready" });
  }

  crash(): void {
    this.onExit({ code: null, signal: "SIGKILL" });
  }
}

const counts = { accepted: 0, full: 0, resumed: 0 };

function filledSlot() {
  const clock = new HandClock();
  const workers: FakeWorker[] = [];
  const endings: Ending[] = [];
  const failures: string[] = [];
  const staples: StapleCommand[] = [];
  let isRefused = false;
  const slot = new Slot(1, { type: "start" } as StartCommand, {
    spawn: () => {
      if (isRefused) throw new Error("fork failed");
      workers.push(new FakeWorker());
      return workers.at(-1)!;
    },
    staples: () => staples,
    ready: () => {},
    exited: (_slot, ending) => endings.push(ending),
    failed: (_slot, message) => failures.push(message),
    log: () => {},
    backend: () => {},
    sessions: (report) =>
      "number" in report ? { type: "session-found", number: report.number } : undefined,
  }, { watchdog: 30, clock });
  slot.fill();
  const refuse = (refused: boolean) => isRefused = refused;
  const delays = () => endings.map(({ delay }) => delay);
  const last = () => workers.at(-1)!;
  return { clock, slot, workers, endings, delays, failures, refuse, staples, last };
}

test("a dead worker is replaced at once, then after pauses that double up to 10 s", () => {
  const { clock, workers, delays, last } = filledSlot();
  for (let crash = 0; crash < 10; crash++) {
    last().ready();
    last().crash();
    const count = workers.length;
    clock.advance(delays().at(-1)!);
    assert.equal(workers.length, count + 1, "the successor starts after the pause");
  }
  assert.deepEqual(delays(), [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
});

test("a minute of service makes the next crash the first again", () => {
  const { clock, delays, last } = filledSlot();
  for (let crash = 0; crash < 4; crash++) {
    last().ready();
    last().crash();
    clock.advance(delays().at(-1)!);
  }
  last().ready();
  clock.advance(61_000);
  last().crash();
  assert.deepEqual(delays(), [0, 100, 200, 400, 0]);
});

test("a worker that does not answer in time is noticed, and noticed again when it answers", () => {
  const { clock, slot, last } = filledSlot();
  assert.equal(slot.isServing, false);
  last().ready();
  assert.equal(slot.isServing, true);
  slot.check();
  clock.advance(1000);
  slot.check();
  assert.equal(slot.isServing, false);
  clock.advance(1500);
  assert.equal(slot.age, 1500);
  last().onEvent({ type: "pong", open: 3, ...counts });
  slot.check();
  assert.equal(slot.isServing, true);
  assert.deepEqual(last().commands, ["start", "ping", "ping"], "no orders pile up meanwhile");
});

test("a worker that does not become ready is killed", () => {
  const { clock, slot, last } = filledSlot();
  clock.advance(59_000);
  slot.check();
  assert.deepEqual(last().signals, []);
  clock.advance(2000);
  slot.check();
  assert.deepEqual(last().signals, ["SIGKILL"]);
});

test("a retiring worker serves until its successor does, and is then drained", () => {
  const { slot, workers, endings } = filledSlot();
  workers[0]!.ready();
  workers[0]!.onEvent({ type: "retiring" });
  assert.equal(workers.length, 2);
  assert.deepEqual(workers[0]!.commands, ["start"]);
  workers[1]!.ready();
  assert.deepEqual(workers[0]!.commands, ["start", "drain"]);
  workers[0]!.onExit({ code: 0, signal: null });
  assert.deepEqual(endings.map(({ isExpected }) => isExpected), [true], "its end is no crash");
  assert.equal(slot.isServing, true);
  assert.equal(workers.length, 2);
});

test("a worker that cannot be started is tried again after the same pauses", () => {
  const { clock, slot, workers, last, refuse, failures } = filledSlot();
  last().ready();
  refuse(true);
  last().crash();
  clock.advance(0);
  clock.advance(100);
  clock.advance(200);
  assert.equal(failures.length, 3);
  refuse(false);
  clock.advance(400);
  assert.equal(workers.length, 2);
  last().ready();
  assert.equal(slot.isServing, true);
});

test("workers that asked for a successor are all known until they end", async () => {
  const { slot, workers } = filledSlot();
  for (const worker of [0, 1]) {
    workers[worker]!.ready();
    workers[worker]!.onEvent({ type: "retiring" });
  }
  workers[2]!.ready();
  for (const worker of [0, 1]) assert.deepEqual(workers[worker]!.commands, ["start", "drain"]);
  for (const [i, worker] of workers.entries()) worker.open = i + 1;
  assert.equal(slot.open, 6);
  const retired = slot.retire();
  for (const worker of workers) worker.onEvent({ type: "draining", open: 1, ...counts });
  await retired;
  assert.equal(slot.open, 3);
  for (const worker of workers) worker.onExit({ code: 0, signal: null });
  assert.equal(slot.isEmpty, true);
  assert.equal(workers.length, 3);
});

test("new certificates are there when all workers serve them, or are gone", async () => {
  const { slot, workers } = filledSlot();
  workers[0]!.ready();
  workers[0]!.onEvent({ type: "retiring" });
  const tls = {} as ServedTls;
  let isDone = false;
  const swapped = slot.swap(tls).then(() => isDone = true);
  workers[0]!.onEvent({ type: "swapped" });
  await Promise.resolve();
  assert.equal(isDone, false);
  workers[1]!.crash();
  await swapped;
  assert.deepEqual(workers[0]!.commands, ["start", "tls"]);
});

test("a worker that does not answer for as long as the watchdog waits is ended", () => {
  const { clock, slot, workers, endings } = filledSlot();
  workers[0]!.ready();
  slot.check();
  clock.advance(29_000);
  slot.check();
  assert.deepEqual(workers[0]!.signals, []);
  clock.advance(1000);
  slot.check();
  assert.deepEqual(workers[0]!.signals, ["SIGKILL"]);
  workers[0]!.crash();
  assert.deepEqual(endings.map(({ isHung, delay }) => [isHung, delay]), [[true, 0]]);
});

test("a worker that drains and hangs is ended as well", () => {
  const { clock, slot, workers } = filledSlot();
  workers[0]!.ready();
  workers[0]!.onEvent({ type: "retiring" });
  workers[1]!.ready();
  slot.check();
  workers[1]!.onEvent({ type: "pong", open: 0, ...counts });
  clock.advance(30_000);
  slot.check();
  assert.deepEqual(workers.map(({ signals }) => signals), [["SIGKILL"], []]);
});

test("an ended slot is not filled again", () => {
  const { clock, slot, workers } = filledSlot();
  workers[0]!.ready();
  slot.end();
  assert.deepEqual(workers[0]!.commands, ["start", "leave"]);
  workers[0]!.crash();
  clock.advance(60_000);
  assert.equal(workers.length, 1);
  assert.equal(slot.isEmpty, true);
});

test("at a stop a worker that asks for a successor gets none, and one that dies does", () => {
  const { clock, slot, workers, last } = filledSlot();
  last().ready();
  slot.keepWorker();
  last().onEvent({ type: "retiring" });
  assert.equal(workers.length, 1);
  last().crash();
  clock.advance(0);
  assert.equal(workers.length, 2);
});

test("a successor has the staples before it accepts", () => {
  const { clock, last, staples } = filledSlot();
  staples.push({ type: "staple", certificate: 0, response: "AA==" });
  last().ready();
  last().crash();
  clock.advance(0);
  assert.deepEqual(last().commands, ["staple", "start"]);
});

test("what the workers of a slot have counted adds up, and each is told by its own", () => {
  const { clock, slot, last } = filledSlot();
  last().ready();
  const told = (accepted: number, full: number, resumed: number) =>
    last().onEvent({ type: "pong", open: 2, accepted, full, resumed });
  told(5, 3, 1);
  told(9, 4, 4);
  assert.deepEqual(slot.told, { pid: 1, open: 2, accepted: 9, full: 4, resumed: 4 });
  last().crash();
  clock.advance(0);
  told(2, 1, 1);
  assert.deepEqual(slot.counts, { accepted: 11, full: 5, resumed: 5 });
  assert.deepEqual(slot.told, { pid: 1, open: 2, accepted: 2, full: 1, resumed: 1 });
  told(1, 0, 1);
  assert.deepEqual(slot.counts, { accepted: 11, full: 5, resumed: 5 }, "nothing is taken back");
});

test("a worker is answered to its question about a session, and to nothing else", () => {
  const { slot, workers, last } = filledSlot();
  last().ready();
  last().onEvent({ type: "retiring" });
  const [old, successor] = workers as [typeof workers[0], typeof workers[0]];
  const name = { policy: "policy", id: "id" };
  old.onEvent({ type: "session-made", ...name, session: "session" });
  old.onEvent({ type: "session-wanted", ...name, number: 7 });
  assert.deepEqual(old.commands, ["start", "session-found"]);
  assert.deepEqual(successor.commands, ["start"]);
  slot.kill();
});
