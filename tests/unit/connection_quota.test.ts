import { test } from "node:test";
import assert from "node:assert/strict";
import type {
  StartCommand,
  WorkerCommand,
  WorkerEvent,
} from "../../src/worker_protocol/messages.ts";
import { ConnectionQuotas } from "../../src/master/workers/connection_quota.ts";
import type { SlotWorker } from "../../src/master/workers/watched_worker.ts";
import type { WorkerExit } from "../../src/master/workers/worker_process.ts";

/** A worker that keeps its quota, and reads commands and sends events when the test says so. */
class FakeWorker implements SlotWorker {
  onEvent: (event: WorkerEvent) => void = () => {};
  onExit: (exit: WorkerExit) => void = () => {};
  readonly pid = 1;
  /** Not yet read. */
  readonly commands: WorkerCommand[] = [];
  /** Not yet sent. */
  readonly events: WorkerEvent[] = [];
  quota = 0;
  open = 0;
  isDraining = false;

  send(command: WorkerCommand): void {
    this.commands.push(command);
  }

  offer(command: WorkerCommand): boolean {
    this.send(command);
    return true;
  }

  kill(): void {}

  /** Accepts a connection if its quota allows it. */
  accept(): boolean {
    if (this.isDraining || this.open >= this.quota) return false;
    this.open++;
    return true;
  }

  read(): void {
    const command = this.commands.shift();
    if (command?.type === "drain") this.isDraining = true;
    if (command?.type === "start") this.events.push({ type: "ready" });
    if (command?.type !== "start" && command?.type !== "limit") return;
    this.quota = command.connections ?? Infinity;
    if (command.type !== "limit") return;
    this.events.push({ type: "limited", number: command.number, open: this.open });
  }

  report(): void {
    const event = this.events.shift();
    if (event) this.onEvent(event);
  }

  /** Handles all outstanding commands and events. */
  settle(): void {
    while (this.commands.length + this.events.length > 0) {
      this.read();
      this.report();
    }
  }
}

const start = { type: "start" } as StartCommand;

/** Workers that accept connections. */
function serving(total: number, count: number) {
  const connectionQuotas = new ConnectionQuotas();
  connectionQuotas.total = total;
  const workers: FakeWorker[] = [];
  const slots: SlotWorker[] = [];
  const add = (of: number) => {
    const worker = new FakeWorker();
    const slot = connectionQuotas.admit(worker, of);
    slot.send(start);
    workers.push(worker);
    slots.push(slot);
    return worker;
  };
  const settle = () => {
    while (workers.some(({ commands, events }) => commands.length + events.length > 0)) {
      for (const worker of workers) worker.settle();
    }
  };
  const check = () => {
    connectionQuotas.check();
    settle();
  };
  for (let i = 0; i < count; i++) add(count);
  settle();
  return { connectionQuotas, workers, slots, add, settle, check };
}

const sum = (numbers: readonly number[]) => numbers.reduce((all, each) => all + each, 0);
const quotas = (workers: readonly FakeWorker[]) => workers.map(({ quota }) => quota);

test("workers begin with shares of the total, and get all of it", () => {
  assert.deepEqual(quotas(serving(10, 2).workers), [5, 5]);
  assert.deepEqual(quotas(serving(3, 2).workers).sort(), [1, 2]);
  assert.deepEqual(quotas(serving(2, 2).workers), [1, 1]);
});

test("without a total no worker is limited, and none is asked", () => {
  const { connectionQuotas, workers } = serving(Infinity, 2);
  assert.deepEqual(quotas(workers), [Infinity, Infinity]);
  connectionQuotas.check();
  assert.deepEqual(workers.map(({ commands }) => commands), [[], []]);
});

test("a busy worker gets what an idle one does not need, but leaves it some headroom", () => {
  const { workers: [busy, idle], check } = serving(100, 2);
  while (busy!.accept());
  check();
  assert.deepEqual([busy!.quota, idle!.quota], [94, 6]);
  while (busy!.accept());
  check();
  assert.deepEqual([busy!.quota, idle!.quota], [94, 6]);
});

test("two busy workers end up with equal shares", () => {
  const { workers: [first, second], check } = serving(10, 2);
  while (first!.accept());
  check();
  while (first!.accept());
  assert.equal(first!.open, 9);
  assert.ok(second!.accept());
  check();
  assert.deepEqual([first!.quota, second!.quota], [5, 1], "nothing is free yet");
  first!.open = 5;
  for (let i = 0; i < 3; i++) {
    check();
    while (second!.accept());
    assert.deepEqual([first!.quota, second!.quota], [5, 5]);
  }
});

test("what one gives up, another gets only after the answer", () => {
  const { connectionQuotas, workers: [busy, idle] } = serving(10, 2);
  while (busy!.accept());
  connectionQuotas.check();
  idle!.settle();
  busy!.read();
  busy!.report();
  idle!.read();
  busy!.settle();
  assert.deepEqual([busy!.quota, idle!.quota], [5, 1], "the idle worker has not answered");
  idle!.report();
  busy!.settle();
  assert.deepEqual([busy!.quota, idle!.quota], [9, 1]);
});

test("a worker that does not answer keeps its quota", () => {
  const { connectionQuotas, workers: [busy, hung] } = serving(10, 2);
  while (busy!.accept());
  for (let i = 0; i < 5; i++) {
    connectionQuotas.check();
    busy!.settle();
  }
  assert.equal(busy!.quota, 5);
  assert.equal(hung!.commands.length, 1, "commands do not pile up");
});

test("a limit whose answer is lost is sent again after a ping was answered, and blocks nothing", () => {
  const { connectionQuotas, workers: [busy, idle], slots } = serving(10, 2);
  while (busy!.accept());
  connectionQuotas.check();
  idle!.read();
  idle!.events.length = 0;
  busy!.settle();
  const ping = () => slots[1]!.send({ type: "ping" });
  ping();
  assert.deepEqual(idle!.commands.map(({ type }) => type), ["ping"], "the answer may still come");
  ping();
  assert.deepEqual(idle!.commands.map(({ type }) => type), ["ping", "limit", "ping"]);
  idle!.settle();
  busy!.settle();
  idle!.settle();
  busy!.settle();
  assert.deepEqual([busy!.quota, idle!.quota], [9, 1]);
});

test("a second answer to a limit is not mistaken for the answer to the next one", () => {
  const { connectionQuotas, workers: [busy, idle], slots } = serving(10, 2);
  while (busy!.accept());
  while (idle!.open < 3) idle!.accept();
  connectionQuotas.check();
  for (let i = 0; i < 2; i++) slots[1]!.send({ type: "ping" });
  // It reads the limit twice, and both answers are outstanding.
  while (idle!.commands.length > 0) idle!.read();
  busy!.settle();
  idle!.report();
  busy!.settle();
  assert.equal(idle!.commands.at(-1)!.type, "limit", "its quota is lowered");
  // Before it reads that, it accepts what its quota still allows.
  while (idle!.accept());
  idle!.report();
  busy!.settle();
  while (busy!.accept());
  assert.ok(busy!.open + idle!.open <= 10, `${busy!.open} and ${idle!.open}`);
});

test("the share of a worker that exits goes to the others at once", () => {
  const { workers: [first, second], add } = serving(10, 2);
  while (first!.accept());
  second!.onExit({ code: null, signal: "SIGKILL" });
  first!.settle();
  assert.equal(first!.quota, 10);
  const successor = add(2);
  successor.settle();
  assert.equal(successor.quota, 0, "nothing is free");
});

test("a successor gets its share at once if others do not need it", () => {
  const { workers: [first, second], add, settle } = serving(10, 2);
  second!.onExit({ code: null, signal: "SIGKILL" });
  first!.settle();
  const successor = add(2);
  settle();
  assert.equal(successor.quota, 9);
});

test("workers of an older configuration keep only their open connections once they drain", () => {
  const { slots, workers: [old], add, settle } = serving(10, 1);
  for (let i = 0; i < 3; i++) old!.accept();
  const next = add(1);
  settle();
  assert.deepEqual([old!.quota, next.quota], [4, 6]);
  slots[0]!.send({ type: "drain" });
  settle();
  assert.deepEqual([old!.quota, next.quota], [0, 7]);
});

test("draining workers are asked again, and connections that close there go to the others", () => {
  const { slots, workers: [old], add, settle, check } = serving(10, 1);
  for (let i = 0; i < 3; i++) old!.accept();
  const next = add(1);
  settle();
  slots[0]!.send({ type: "drain" });
  settle();
  old!.open = 1;
  check();
  assert.equal(next.quota, 9);
  old!.onExit({ code: 0, signal: null });
  settle();
  assert.equal(next.quota, 10);
});

test("a total that is set or removed reaches the workers", () => {
  const { connectionQuotas, slots, workers: [old], add, settle, check } = serving(Infinity, 1);
  for (let i = 0; i < 30; i++) old!.accept();
  connectionQuotas.total = 20;
  const limited = add(1);
  settle();
  assert.equal(limited.quota, 0);
  slots[0]!.send({ type: "drain" });
  settle();
  assert.equal(limited.quota, 0, "the old one has 30");
  old!.open = 5;
  check();
  assert.equal(limited.quota, 15);
  connectionQuotas.total = Infinity;
  settle();
  assert.equal(limited.quota, Infinity);
});

test("a worker cannot claim more than its quota", () => {
  const { slots, workers: [liar, other], check, settle } = serving(10, 2);
  while (other!.accept());
  liar!.open = 1e15;
  check();
  assert.deepEqual([liar!.quota, other!.quota], [5, 5]);
  slots[0]!.send({ type: "drain" });
  settle();
  assert.equal(other!.quota, 5);
});

test("no sequence of events allows more than the total, and all of it can be used", () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return Math.floor(seed / 2 ** 31 * below);
  };
  for (const total of [3, 10, 257]) {
    const { connectionQuotas, workers, slots, add, check, settle } = serving(total, 3);
    const acts: ((worker: FakeWorker, at: number) => unknown)[] = [
      (worker) => worker.read(),
      (worker) => worker.report(),
      (worker) => worker.accept(),
      (worker) => worker.accept(),
      (worker) => worker.open = Math.max(0, worker.open - 1 - random(4)),
      () => random(4) > 0 || connectionQuotas.check(),
      (_, at) => random(100) > 0 || slots[at]!.send({ type: "drain" }),
      () => random(100) > 0 || add(3),
      (worker) => {
        if (random(200) > 0) return;
        worker.open =
          worker.quota =
          worker.commands.length =
          worker.events.length =
            0;
        worker.isDraining = true;
        worker.onExit({ code: 1, signal: null });
      },
    ];
    for (let i = 0; i < 20_000; i++) {
      const at = random(workers.length);
      acts[random(acts.length)]!(workers[at]!, at);
      assert.ok(sum(workers.map(({ open }) => open)) <= total, `step ${i}`);
    }
    for (const slot of slots) slot.send({ type: "drain" });
    for (const worker of workers) worker.open = 0;
    const last = [add(2), add(2)];
    settle();
    for (let i = 0; i < 10; i++) {
      check();
      for (const worker of last) while (worker.accept());
    }
    assert.equal(sum(last.map(({ open }) => open)), total);
    assert.ok(last.every(({ open }) => open > 0));
  }
});
