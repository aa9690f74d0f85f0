import { test } from "node:test";
import assert from "node:assert/strict";
import type {
  StartCommand,
  WorkerCommand,
  WorkerEvent,
} from "../../src/worker_protocol/messages.ts";
import { CounterTotals } from "../../src/base/counters.ts";
import type { StapleCommand } from "../../src/ocsp/staples.ts";
import type { ServedTls } from "../../src/certificates/served_tls.ts";
import { type ExitDetails, Slot } from "../../src/master/workers/slot.ts";
import type { SlotWorker } from "../../src/master/workers/watched_worker.ts";
import type { WorkerExit } from "../../src/master/workers/worker_process.ts";
import { HandClock } from "../support/hand_clock.ts";

/** A worker's process as the slot sees it, without a process. */
class FakeWorker implements SlotWorker {
  onEvent: (event: WorkerEvent) => void = () => {};
  onExit: (exit: WorkerExit) => void = () => {};
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

/** No counts. */
const counters = {};

function startedSlot({ watchdog = 30 } = {}) {
  const clock = new HandClock();
  const workers: FakeWorker[] = [];
  const exits: ExitDetails[] = [];
  const failures: string[] = [];
  const staples: StapleCommand[] = [];
  const totals = new CounterTotals();
  let isRefused = false;
  const counted = { frontends: ["front"], alpn: ["h2"] };
  const start = { type: "start", tls: {} as ServedTls, counted } as Partial<StartCommand>;
  const slot = new Slot(1, start as StartCommand, {
    spawn: () => {
      if (isRefused) throw new Error("fork failed");
      workers.push(new FakeWorker());
      return workers.at(-1)!;
    },
    staples: () => staples,
    ready: () => {},
    exited: (_slot, exit) => exits.push(exit),
    failed: (_slot, message) => failures.push(message),
    shared: {
      "log": () => {},
      "backend-answers": () => {},
      "backend-failed": () => {},
      "session-made": () => {},
      "session-wanted": ({ number }, answer) => answer({ type: "session-found", number }),
    },
  }, { watchdog, totals, clock });
  slot.start();
  const refuse = (refused: boolean) => isRefused = refused;
  const delays = () => exits.map(({ delay }) => delay);
  const last = () => workers.at(-1)!;
  /** The time in which the master reads what has arrived before it kills. */
  const readEvents = () => clock.advance(100);
  /** Checks every second, as the master does. */
  const checkFor = (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      clock.advance(1000);
      slot.check();
    }
    readEvents();
  };
  return {
    ...{ clock, slot, workers, exits, delays, failures, refuse, staples, last },
    ...{ checkFor, readEvents, totals },
  };
}

test("a crashed worker is replaced at once, then after pauses that double up to 10 s", () => {
  const { clock, workers, delays, last } = startedSlot();
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
  const { clock, delays, last } = startedSlot();
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

test("a worker that does not answer pings is not serving until it answers again", () => {
  const { clock, slot, last } = startedSlot();
  assert.equal(slot.isServing, false);
  last().ready();
  assert.equal(slot.isServing, true);
  slot.check();
  clock.advance(1000);
  slot.check();
  assert.equal(slot.isServing, false);
  clock.advance(1500);
  assert.equal(slot.age, 1500);
  last().onEvent({ type: "pong", open: 3, counters });
  slot.check();
  assert.equal(slot.isServing, true);
  assert.deepEqual(last().commands, ["start", "ping", "ping"], "no commands pile up meanwhile");
});

test("a worker that does not become ready is killed", () => {
  const { checkFor, last } = startedSlot();
  checkFor(60);
  assert.deepEqual(last().signals, []);
  checkFor(1);
  assert.deepEqual(last().signals, ["SIGKILL"]);
});

test("a worker that wants a successor accepts until the successor does, and is then drained", () => {
  const { slot, workers, exits } = startedSlot();
  workers[0]!.ready();
  workers[0]!.onEvent({ type: "successor-wanted" });
  assert.equal(workers.length, 2);
  assert.deepEqual(workers[0]!.commands, ["start"]);
  workers[1]!.ready();
  assert.deepEqual(workers[0]!.commands, ["start", "drain"]);
  workers[0]!.onExit({ code: 0, signal: null });
  assert.deepEqual(exits.map(({ isExpected }) => isExpected), [true], "its exit is no crash");
  assert.equal(slot.isServing, true);
  assert.equal(workers.length, 2);
});

test("a worker that cannot be started is tried again after the same pauses", () => {
  const { clock, slot, workers, last, refuse, failures } = startedSlot();
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

test("workers that asked for a successor are tracked until they exit", async () => {
  const { slot, workers } = startedSlot();
  for (const worker of [0, 1]) {
    workers[worker]!.ready();
    workers[worker]!.onEvent({ type: "successor-wanted" });
  }
  workers[2]!.ready();
  for (const worker of [0, 1]) assert.deepEqual(workers[worker]!.commands, ["start", "drain"]);
  for (const [i, worker] of workers.entries()) {
    worker.onEvent({ type: "pong", open: i + 1, counters });
  }
  assert.equal(slot.open, 6);
  const drained = slot.drain();
  for (const worker of workers) worker.onEvent({ type: "draining", open: 1, counters });
  await drained;
  assert.equal(slot.open, 3);
  for (const worker of workers) worker.onExit({ code: 0, signal: null });
  assert.equal(slot.isEmpty, true);
  assert.equal(workers.length, 3);
});

test("a swap is done when all workers use the new certificates or have exited", async () => {
  const { slot, workers } = startedSlot();
  workers[0]!.ready();
  workers[0]!.onEvent({ type: "successor-wanted" });
  const tls = { alpn: [] as string[] } as unknown as ServedTls;
  let isDone = false;
  const swapped = slot.swap(tls).then(() => isDone = true);
  workers[0]!.onEvent({ type: "swapped", number: 1 });
  await Promise.resolve();
  assert.equal(isDone, false);
  workers[1]!.crash();
  await swapped;
  assert.deepEqual(workers[0]!.commands, ["start", "tls"]);
});

test("the answer to an older swap is not mistaken for the answer to the last one", async () => {
  const { slot, last } = startedSlot();
  last().ready();
  const tls = { alpn: [] as string[] } as unknown as ServedTls;
  const done: string[] = [];
  const swaps = ["first", "second"].map((name) => slot.swap(tls).then(() => done.push(name)));
  last().onEvent({ type: "swapped", number: 1 });
  await swaps[0];
  assert.deepEqual(done, ["first"], "the first swap is superseded");
  last().onEvent({ type: "swapped", number: 2 });
  await swaps[1];
});

test("a drain or a swap whose answer is lost is sent again after a ping was answered", async () => {
  for (const lost of ["drain", "tls"] as const) {
    const { slot, last, checkFor } = startedSlot();
    last().ready();
    const answered = lost === "drain"
      ? slot.drain()
      : slot.swap({ alpn: [] as string[] } as unknown as ServedTls);
    checkFor(1);
    last().onEvent({ type: "pong", open: 0, counters });
    assert.deepEqual(last().commands, ["start", lost, "ping"], "the answer may still come");
    checkFor(1);
    assert.deepEqual(last().commands, ["start", lost, "ping", lost, "ping"]);
    checkFor(5);
    assert.equal(last().commands.length, 5, "a worker that answers no ping is sent nothing more");
    last().onEvent(
      lost === "drain" ? { type: "draining", open: 0, counters } : { type: "swapped", number: 1 },
    );
    await answered;
  }
});

test("a worker that does not answer for the watchdog's time is killed", () => {
  const { slot, workers, exits, checkFor } = startedSlot();
  workers[0]!.ready();
  slot.check();
  checkFor(29);
  assert.deepEqual(workers[0]!.signals, []);
  checkFor(1);
  assert.deepEqual(workers[0]!.signals, ["SIGKILL"]);
  workers[0]!.crash();
  assert.deepEqual(exits.map(({ isHung, delay }) => [isHung, delay]), [[true, 0]]);
});

test("time in which the master was stalled does not count for the watchdog", () => {
  const { clock, slot, last, checkFor } = startedSlot({ watchdog: 5 });
  last().ready();
  slot.check();
  for (let i = 0; i < 10; i++) {
    clock.advance(60_000);
    slot.check();
  }
  assert.deepEqual([last().signals, slot.isServing], [[], true]);
  checkFor(4);
  assert.deepEqual([last().signals, slot.isServing], [[], false]);
  checkFor(1);
  assert.deepEqual(last().signals, ["SIGKILL"]);
});

test("time in which the master was stalled does not count for a worker's start", () => {
  const { clock, slot, last, checkFor } = startedSlot();
  clock.advance(120_000);
  slot.check();
  assert.deepEqual(last().signals, []);
  checkFor(61);
  assert.deepEqual(last().signals, ["SIGKILL"]);
});

test("an answer that arrived while the master was stalled is read before a worker is killed", () => {
  const { clock, slot, last, readEvents } = startedSlot({ watchdog: 1 });
  last().ready();
  slot.check();
  clock.advance(1900);
  slot.check();
  last().onEvent({ type: "pong", open: 0, counters });
  readEvents();
  assert.deepEqual(last().signals, []);
});

test("a start that succeeded while the master was stalled is seen before a worker is killed", () => {
  const { clock, slot, last, failures, readEvents } = startedSlot();
  for (let second = 0; second <= 60; second++) {
    clock.advance(1000);
    slot.check();
  }
  last().ready();
  readEvents();
  assert.deepEqual([last().signals, failures], [[], []]);
});

test("a worker whose log entries are still being read counts as answering", () => {
  const { slot, last, checkFor } = startedSlot({ watchdog: 5 });
  last().ready();
  slot.check();
  const entry = { level: "debug", event: "warning", message: "m", facts: {} } as const;
  for (let second = 0; second < 20; second++) {
    last().onEvent({ type: "log", entry });
    checkFor(1);
  }
  assert.deepEqual([last().signals, slot.isServing], [[], true]);
  checkFor(5);
  assert.deepEqual(last().signals, ["SIGKILL"]);
});

test("a draining worker that hangs is killed as well", () => {
  const { slot, workers, checkFor } = startedSlot();
  workers[0]!.ready();
  workers[0]!.onEvent({ type: "successor-wanted" });
  workers[1]!.ready();
  slot.check();
  for (let second = 0; second < 30; second++) {
    workers[1]!.onEvent({ type: "pong", open: 0, counters });
    checkFor(1);
  }
  assert.deepEqual(workers.map(({ signals }) => signals[0]), ["SIGKILL", undefined]);
});

test("a slot that was cut starts no other worker", () => {
  const { clock, slot, workers } = startedSlot();
  workers[0]!.ready();
  slot.cut();
  assert.deepEqual(workers[0]!.commands, ["start", "exit"]);
  workers[0]!.crash();
  clock.advance(60_000);
  assert.equal(workers.length, 1);
  assert.equal(slot.isEmpty, true);
});

test("at a stop a worker that asks for a successor gets none, but a crashed one is replaced", () => {
  const { clock, slot, workers, last } = startedSlot();
  last().ready();
  slot.refuseSuccessor();
  last().onEvent({ type: "successor-wanted" });
  assert.equal(workers.length, 1);
  last().crash();
  clock.advance(0);
  assert.equal(workers.length, 2);
});

test("a successor gets the staples before it accepts", () => {
  const { clock, last, staples } = startedSlot();
  staples.push({ type: "staple", certificate: 0, response: "AA==" });
  last().ready();
  last().crash();
  clock.advance(0);
  assert.deepEqual(last().commands, ["staple", "start"]);
});

test("the counts of all workers are added up, and the last one's own are reported", () => {
  const { clock, slot, last, totals } = startedSlot();
  last().ready();
  const reports = (accepted: number, received: number) =>
    last().onEvent({
      type: "pong",
      open: 2,
      counters: { connections_accepted_total: [0, accepted], client_bytes_total: [0, received] },
    });
  const own = () => {
    const { open, counters } = slot.reported!;
    return [
      open,
      counters.total("connections_accepted_total"),
      counters.total("client_bytes_total"),
    ];
  };
  const all = () => [slot.accepted, totals.total("client_bytes_total", { direction: "received" })];
  reports(5, 100);
  reports(9, 400);
  assert.deepEqual([own(), all()], [[2, 9, 400], [9, 400]]);
  last().crash();
  clock.advance(0);
  reports(2, 10);
  assert.deepEqual([own(), all()], [[2, 2, 10], [11, 410]]);
  reports(1, 0);
  assert.deepEqual([own(), all()], [[2, 2, 10], [11, 410]], "totals never decrease");
  reports(2, 10);
  assert.deepEqual(all(), [11, 410], "nothing is counted twice");
});

test("starts and exits are counted, and the connections of a dead worker as closed", () => {
  const { clock, slot, last, totals, checkFor } = startedSlot();
  const exits = (reason: string) => totals.total("worker_exits_total", { reason });
  const open = () =>
    totals.total("connections_accepted_total", { frontend: "front" }) -
    totals.total("connections_closed_total", { frontend: "front" });
  last().ready();
  const counters = { connections_accepted_total: [0, 9], connections_closed_total: [0, 4] };
  last().onEvent({ type: "pong", open: 5, counters });
  assert.equal(open(), 5);
  last().crash();
  assert.equal(open(), 0);
  clock.advance(0);
  last().ready();
  last().onExit({ code: 1, signal: null });
  clock.advance(100);
  last().ready();
  checkFor(40);
  last().crash();
  clock.advance(200);
  last().ready();
  slot.cut();
  last().onExit({ code: 0, signal: null });
  assert.equal(totals.total("worker_starts_total"), 4);
  assert.deepEqual(["requested", "error", "signal", "watchdog"].map(exits), [1, 1, 1, 1]);
});

test("a worker's query for a session is answered, and only that worker's", () => {
  const { slot, workers, last } = startedSlot();
  last().ready();
  last().onEvent({ type: "successor-wanted" });
  const [old, successor] = workers as [typeof workers[0], typeof workers[0]];
  const name = { policy: "policy", id: "id" };
  old.onEvent({ type: "session-made", ...name, session: "session" });
  old.onEvent({ type: "session-wanted", ...name, number: 7 });
  assert.deepEqual(old.commands, ["start", "session-found"]);
  assert.deepEqual(successor.commands, ["start"]);
  slot.kill();
});
