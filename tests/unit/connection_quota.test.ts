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

/** A worker that keeps to its quota, and hears and answers when the test lets it. */
class FakeWorker implements SlotWorker {
  onEvent: (report: WorkerEvent) => void = () => {};
  onExit: (exit: WorkerExit) => void = () => {};
  readonly pid = 1;
  /** Not yet heard. */
  readonly commands: WorkerCommand[] = [];
  /** Not yet told. */
  readonly reports: WorkerEvent[] = [];
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

  /** Takes a connection, if it may. */
  accept(): boolean {
    if (this.isDraining || this.open >= this.quota) return false;
    this.open++;
    return true;
  }

  hear(): void {
    const command = this.commands.shift();
    if (command?.type === "drain") this.isDraining = true;
    if (command?.type === "start") this.reports.push({ type: "ready" });
    if (command?.type !== "start" && command?.type !== "limit") return;
    this.quota = command.connections ?? Infinity;
    if (command.type !== "limit") return;
    this.reports.push({ type: "limited", number: command.number, open: this.open });
  }

  tell(): void {
    const report = this.reports.shift();
    if (report) this.onEvent(report);
  }

  /** All that is under way. */
  settle(): void {
    while (this.commands.length + this.reports.length > 0) {
      this.hear();
      this.tell();
    }
  }
}

const start = { type: "start" } as StartCommand;

/** Workers that serve. */
function serving(total: number, count: number) {
  const budget = new ConnectionQuotas();
  budget.total = total;
  const workers: FakeWorker[] = [];
  const slots: SlotWorker[] = [];
  const add = (of: number) => {
    const worker = new FakeWorker();
    const slot = budget.admit(worker, of);
    slot.send(start);
    workers.push(worker);
    slots.push(slot);
    return worker;
  };
  const settle = () => {
    while (workers.some(({ commands, reports }) => commands.length + reports.length > 0)) {
      for (const worker of workers) worker.settle();
    }
  };
  const check = () => {
    budget.check();
    settle();
  };
  for (let i = 0; i < count; i++) add(count);
  settle();
  return { budget, workers, slots, add, settle, check };
}

const sum = (numbers: readonly number[]) => numbers.reduce((all, each) => all + each, 0);
const quotas = (workers: readonly FakeWorker[]) => workers.map(({ quota }) => quota);

test("workers begin with shares of the total, and get all of it", () => {
  assert.deepEqual(quotas(serving(10, 2).workers), [5, 5]);
  assert.deepEqual(quotas(serving(3, 2).workers).sort(), [1, 2]);
  assert.deepEqual(quotas(serving(2, 2).workers), [1, 1]);
});

test("without a total nobody is limited, and nobody asked", () => {
  const { budget, workers } = serving(Infinity, 2);
  assert.deepEqual(quotas(workers), [Infinity, Infinity]);
  budget.check();
  assert.deepEqual(workers.map(({ commands }) => commands), [[], []]);
});

test("a busy worker gets what an idle one has no use for, but not the last of it", () => {
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
  const { budget, workers: [busy, idle] } = serving(10, 2);
  while (busy!.accept());
  budget.check();
  idle!.settle();
  busy!.hear();
  busy!.tell();
  idle!.hear();
  busy!.settle();
  assert.deepEqual([busy!.quota, idle!.quota], [5, 1], "it has not answered");
  idle!.tell();
  busy!.settle();
  assert.deepEqual([busy!.quota, idle!.quota], [9, 1]);
});

test("a worker that says nothing keeps what it may have", () => {
  const { budget, workers: [busy, hung] } = serving(10, 2);
  while (busy!.accept());
  for (let i = 0; i < 5; i++) {
    budget.check();
    busy!.settle();
  }
  assert.equal(busy!.quota, 5);
  assert.equal(hung!.commands.length, 1, "orders do not pile up");
});

test("a limit whose answer is lost is sent again after a ping was answered, and freezes nothing", () => {
  const { budget, workers: [busy, idle], slots } = serving(10, 2);
  while (busy!.accept());
  budget.check();
  idle!.hear();
  idle!.reports.length = 0;
  busy!.settle();
  const ping = () => slots[1]!.send({ type: "ping" });
  ping();
  assert.deepEqual(idle!.commands.map(({ type }) => type), ["ping"], "it may be on its way");
  ping();
  assert.deepEqual(idle!.commands.map(({ type }) => type), ["ping", "limit", "ping"]);
  idle!.settle();
  busy!.settle();
  idle!.settle();
  busy!.settle();
  assert.deepEqual([busy!.quota, idle!.quota], [9, 1]);
});

test("a second answer to a limit is not taken for the answer to the next one", () => {
  const { budget, workers: [busy, idle], slots } = serving(10, 2);
  while (busy!.accept());
  while (idle!.open < 3) idle!.accept();
  budget.check();
  for (let i = 0; i < 2; i++) slots[1]!.send({ type: "ping" });
  // It hears the limit twice, and both answers are under way.
  while (idle!.commands.length > 0) idle!.hear();
  busy!.settle();
  idle!.tell();
  busy!.settle();
  assert.equal(idle!.commands.at(-1)!.type, "limit", "it is to give up some");
  // Before it hears of that it takes what it still may.
  while (idle!.accept());
  idle!.tell();
  busy!.settle();
  while (busy!.accept());
  assert.ok(busy!.open + idle!.open <= 10, `${busy!.open} and ${idle!.open}`);
});

test("a worker that ends leaves its share to the others at once", () => {
  const { workers: [first, second], add } = serving(10, 2);
  while (first!.accept());
  second!.onExit({ code: null, signal: "SIGKILL" });
  first!.settle();
  assert.equal(first!.quota, 10);
  const successor = add(2);
  successor.settle();
  assert.equal(successor.quota, 0, "everything is taken");
});

test("a successor gets its share at once when others can spare it", () => {
  const { workers: [first, second], add, settle } = serving(10, 2);
  second!.onExit({ code: null, signal: "SIGKILL" });
  first!.settle();
  const successor = add(2);
  settle();
  assert.equal(successor.quota, 9);
});

test("workers of an older configuration keep only what they have, from the moment they drain", () => {
  const { slots, workers: [old], add, settle } = serving(10, 1);
  for (let i = 0; i < 3; i++) old!.accept();
  const next = add(1);
  settle();
  assert.deepEqual([old!.quota, next.quota], [4, 6]);
  slots[0]!.send({ type: "drain" });
  settle();
  assert.deepEqual([old!.quota, next.quota], [0, 7]);
});

test("they are asked again, and what ends there is the others'", () => {
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

test("a total that comes or goes reaches the workers", () => {
  const { budget, slots, workers: [old], add, settle, check } = serving(Infinity, 1);
  for (let i = 0; i < 30; i++) old!.accept();
  budget.total = 20;
  const limited = add(1);
  settle();
  assert.equal(limited.quota, 0);
  slots[0]!.send({ type: "drain" });
  settle();
  assert.equal(limited.quota, 0, "the old one has 30");
  old!.open = 5;
  check();
  assert.equal(limited.quota, 15);
  budget.total = Infinity;
  settle();
  assert.equal(limited.quota, Infinity);
});

test("a worker cannot claim more than it was given", () => {
  const { slots, workers: [liar, other], check, settle } = serving(10, 2);
  while (other!.accept());
  liar!.open = 1e15;
  check();
  assert.deepEqual([liar!.quota, other!.quota], [5, 5]);
  slots[0]!.send({ type: "drain" });
  settle();
  assert.equal(other!.quota, 5);
});

test("no order of events ever allows more than the total, and all of it can be used", () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return Math.floor(seed / 2 ** 31 * below);
  };
  for (const total of [3, 10, 257]) {
    const { budget, workers, slots, add, check, settle } = serving(total, 3);
    const acts: ((worker: FakeWorker, at: number) => unknown)[] = [
      (worker) => worker.hear(),
      (worker) => worker.tell(),
      (worker) => worker.accept(),
      (worker) => worker.accept(),
      (worker) => worker.open = Math.max(0, worker.open - 1 - random(4)),
      () => random(4) > 0 || budget.check(),
      (_, at) => random(100) > 0 || slots[at]!.send({ type: "drain" }),
      () => random(100) > 0 || add(3),
      (worker) => {
        if (random(200) > 0) return;
        worker.open =
          worker.quota =
          worker.commands.length =
          worker.reports.length =
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
