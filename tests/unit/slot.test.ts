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
import { type Ending, Slot } from "../../src/master/workers/slot.ts";
import type { SlotWorker } from "../../src/master/workers/watched_worker.ts";
import type { WorkerExit } from "../../src/master/workers/worker_process.ts";
import { HandClock } from "../support/hand_clock.ts";

/** A worker's process as the slot sees it, without a process. */
class FakeWorker implements SlotWorker {
  onEvent: (report: WorkerEvent) => void = () => {};
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

/** Nothing was counted. */
const counters = {};

function filledSlot({ watchdog = 30 } = {}) {
  const clock = new HandClock();
  const workers: FakeWorker[] = [];
  const endings: Ending[] = [];
  const failures: string[] = [];
  const staples: StapleCommand[] = [];
  const totals = new CounterTotals();
  let isRefused = false;
  const start = { type: "start", tls: { alpn: ["h2"] } as Partial<ServedTls> } as StartCommand;
  const slot = new Slot(1, start, {
    spawn: () => {
      if (isRefused) throw new Error("fork failed");
      workers.push(new FakeWorker());
      return workers.at(-1)!;
    },
    staples: () => staples,
    ready: () => {},
    exited: (_slot, ending) => endings.push(ending),
    failed: (_slot, message) => failures.push(message),
    shared: {
      "log": () => {},
      "backend-answers": () => {},
      "backend-failed": () => {},
      "session-made": () => {},
      "session-wanted": ({ number }, answer) => answer({ type: "session-found", number }),
    },
  }, { watchdog, totals, clock });
  slot.fill();
  const refuse = (refused: boolean) => isRefused = refused;
  const delays = () => endings.map(({ delay }) => delay);
  const last = () => workers.at(-1)!;
  /** Checks every second, as the master does. */
  const checkFor = (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      clock.advance(1000);
      slot.check();
    }
  };
  return {
    ...{ clock, slot, workers, endings, delays, failures, refuse, staples, last },
    ...{ checkFor, totals },
  };
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
  last().onEvent({ type: "pong", open: 3, counters });
  slot.check();
  assert.equal(slot.isServing, true);
  assert.deepEqual(last().commands, ["start", "ping", "ping"], "no orders pile up meanwhile");
});

test("a worker that does not become ready is killed", () => {
  const { checkFor, last } = filledSlot();
  checkFor(60);
  assert.deepEqual(last().signals, []);
  checkFor(1);
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
  for (const [i, worker] of workers.entries()) {
    worker.onEvent({ type: "pong", open: i + 1, counters });
  }
  assert.equal(slot.open, 6);
  const retired = slot.retire();
  for (const worker of workers) worker.onEvent({ type: "draining", open: 1, counters });
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

test("the answer to an older swap is not taken for that to the last one", async () => {
  const { slot, last } = filledSlot();
  last().ready();
  const tls = { alpn: [] as string[] } as unknown as ServedTls;
  const done: string[] = [];
  const swaps = ["first", "second"].map((name) => slot.swap(tls).then(() => done.push(name)));
  last().onEvent({ type: "swapped", number: 1 });
  await swaps[0];
  assert.deepEqual(done, ["first"], "nobody needs to wait for it any more");
  last().onEvent({ type: "swapped", number: 2 });
  await swaps[1];
});

test("a drain and a swap whose answers are lost are sent again after a ping was answered", async () => {
  for (const lost of ["drain", "tls"] as const) {
    const { slot, last, checkFor } = filledSlot();
    last().ready();
    const answered = lost === "drain"
      ? slot.retire()
      : slot.swap({ alpn: [] as string[] } as unknown as ServedTls);
    checkFor(1);
    last().onEvent({ type: "pong", open: 0, counters });
    assert.deepEqual(last().commands, ["start", lost, "ping"], "it may be on its way");
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

test("a worker that does not answer for as long as the watchdog waits is killed", () => {
  const { slot, workers, endings, checkFor } = filledSlot();
  workers[0]!.ready();
  slot.check();
  checkFor(29);
  assert.deepEqual(workers[0]!.signals, []);
  checkFor(1);
  assert.deepEqual(workers[0]!.signals, ["SIGKILL"]);
  workers[0]!.crash();
  assert.deepEqual(endings.map(({ isHung, delay }) => [isHung, delay]), [[true, 0]]);
});

test("time in which the master itself was held up is not the worker's silence", () => {
  const { clock, slot, last, checkFor } = filledSlot({ watchdog: 5 });
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

test("nor is the start of a worker late because the master was held up", () => {
  const { clock, slot, last, checkFor } = filledSlot();
  clock.advance(120_000);
  slot.check();
  assert.deepEqual(last().signals, []);
  checkFor(61);
  assert.deepEqual(last().signals, ["SIGKILL"]);
});

test("a worker whose log entries are still being read is not silent", () => {
  const { slot, last, checkFor } = filledSlot({ watchdog: 5 });
  last().ready();
  slot.check();
  const entry = { level: "debug", event: "e", message: "m", facts: {} } as const;
  for (let second = 0; second < 20; second++) {
    last().onEvent({ type: "log", entry });
    checkFor(1);
  }
  assert.deepEqual([last().signals, slot.isServing], [[], true]);
  checkFor(5);
  assert.deepEqual(last().signals, ["SIGKILL"]);
});

test("a worker that drains and hangs is killed as well", () => {
  const { slot, workers, checkFor } = filledSlot();
  workers[0]!.ready();
  workers[0]!.onEvent({ type: "retiring" });
  workers[1]!.ready();
  slot.check();
  for (let second = 0; second < 30; second++) {
    workers[1]!.onEvent({ type: "pong", open: 0, counters });
    checkFor(1);
  }
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

test("what workers have counted adds up, and the last one's own can be told", () => {
  const { clock, slot, last, totals } = filledSlot();
  last().ready();
  const reports = (accepted: number, received: number) =>
    last().onEvent({
      type: "pong",
      open: 2,
      counters: { connections_accepted_total: [accepted], client_bytes_total: [received] },
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
  assert.deepEqual([own(), all()], [[2, 2, 10], [11, 410]], "nothing is taken back");
  reports(2, 10);
  assert.deepEqual(all(), [11, 410], "nor counted twice then");
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
