/** The master's side of the helper process for the ticket store. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { LogEntry } from "../../src/base/log_entry.ts";
import type { ProcessExit } from "../../src/control/child_process.ts";
import { type TicketPlan, Tickets } from "../../src/tickets/tickets.ts";
import type { TicketRing } from "../../src/tickets/ring.ts";
import type { StoreEntry, TicketStore } from "../../src/tickets/store_keys.ts";
import { shownStore, StoreHelper, type StoreProcess } from "../../src/tickets/store_master.ts";
import {
  MAX_BYTES,
  parseStoreEvent,
  type StoreCommand,
  type StoreEvent,
} from "../../src/tickets/store_messages.ts";
import { configuration } from "../support/certificate_files.ts";
import { HandClock } from "../support/hand_clock.ts";

const URL = "redis://user:password@store:6380/3";
const CRASH: ProcessExit = { code: null, signal: "SIGSEGV" };

class FakeProcess implements StoreProcess {
  onEvent: (report: StoreEvent) => void = () => {};
  onExit: (exit: ProcessExit) => void = () => {};
  readonly commands: StoreCommand[] = [];
  readonly signals: string[] = [];

  send(command: StoreCommand): void {
    this.commands.push(command);
  }

  kill(signal: string): void {
    this.signals.push(signal);
  }
}

function helped() {
  const clock = new HandClock();
  const processes: FakeProcess[] = [];
  const helper = new StoreHelper({ url: URL }, () => {
    processes.push(new FakeProcess());
    return processes.at(-1)!;
  }, clock);
  return { clock, helper, processes };
}

test("a process is started for the first request and handles the next ones", async () => {
  const { helper, processes } = helped();
  assert.equal(processes.length, 0);
  const got = helper.get(["a", "b"]);
  processes[0]!.onEvent({ type: "values", number: 1, values: ["AQI=", null] });
  assert.deepEqual(await got, [Buffer.of(1, 2), undefined]);
  const entry: StoreEntry = { name: "a", value: Uint8Array.of(1, 2), ttl: 5, onlyNew: true };
  const set = helper.set([entry]);
  processes[0]!.onEvent({ type: "values", number: 2, values: [] });
  await set;
  assert.deepEqual(processes[0]!.commands, [
    { type: "start", url: URL },
    { type: "get", number: 1, names: ["a", "b"] },
    { type: "set", number: 2, entries: [{ ...entry, value: "AQI=" }] },
  ]);
  assert.equal(processes.length, 1);
});

test("a failure, and an answer that is too short, are passed to the caller", async () => {
  const { helper, processes } = helped();
  const failing = helper.get(["a"]);
  processes[0]!.onEvent({ type: "failed", number: 1, reason: "connection refused" });
  await assert.rejects(failing, /^Error: connection refused$/);
  const short = helper.get(["a"]);
  processes[0]!.onEvent({ type: "values", number: 2, values: [] });
  assert.deepEqual(await short, [undefined]);
});

test("unexpected answers change nothing", async () => {
  const { helper, processes } = helped();
  const got = helper.get(["a"]);
  processes[0]!.onEvent({ type: "values", number: 7, values: ["AQI="] });
  processes[0]!.onEvent({ type: "failed", number: 0, reason: "no" });
  processes[0]!.onEvent({ type: "values", number: 1, values: [null] });
  processes[0]!.onEvent({ type: "failed", number: 1, reason: "no" });
  assert.deepEqual(await got, [undefined]);
});

test("an exit fails the pending request, or else the next one, and the process is replaced", async () => {
  const { helper, processes } = helped();
  const asked = helper.get(["a"]);
  processes[0]!.onExit(CRASH);
  await assert.rejects(asked, /its helper ended \(signal SIGSEGV\)/);
  const again = helper.get(["a"]);
  processes[1]!.onEvent({ type: "values", number: 2, values: [null] });
  await again;
  processes[1]!.onExit({ code: 1, signal: null });
  await assert.rejects(helper.get(["a"]), /its helper ended \(status 1\)/);
  assert.equal(processes.length, 2);
  void helper.get(["a"]);
  assert.equal(processes.length, 3);
});

test("a process that does not answer is killed, and its request fails", async () => {
  const { clock, helper, processes } = helped();
  const asked = helper.get(["a"]);
  clock.advance(11_999);
  assert.deepEqual(processes[0]!.signals, []);
  clock.advance(101);
  await assert.rejects(asked, /its helper did not answer/);
  assert.deepEqual(processes[0]!.signals, ["SIGKILL"]);
});

test("one that answered in time is left alone", async () => {
  const { clock, helper, processes } = helped();
  const asked = helper.get(["a"]);
  processes[0]!.onEvent({ type: "values", number: 1, values: [null] });
  await asked;
  clock.advance(60_000);
  assert.deepEqual(processes[0]!.signals, []);
});

test("a stop ends the process, waits for that, and starts no other", async () => {
  const { helper, processes } = helped();
  const asked = helper.get(["a"]);
  let isOver = false;
  const stopped = helper.stop().then(() => isOver = true);
  assert.deepEqual(processes[0]!.signals, ["SIGKILL"]);
  await Promise.resolve();
  assert.ok(!isOver);
  processes[0]!.onExit({ code: null, signal: "SIGKILL" });
  await assert.rejects(asked);
  await stopped;
  await assert.rejects(helper.get(["a"]), /it was stopped/);
  assert.equal(processes.length, 1);
});

test("a stop without an earlier request returns at once", async () => {
  const { helper } = helped();
  await helper.stop();
});

test("a request fails if no process can be started", async () => {
  const helper = new StoreHelper({ url: URL }, () => {
    throw new Error("fork failed");
  }, new HandClock());
  await assert.rejects(helper.get(["a"]), /fork failed/);
});

test("an event of any other form is refused", () => {
  const values = { type: "values", number: 1, values: ["AQI=", "", null] };
  assert.deepEqual(parseStoreEvent({ ...values, more: true }), values);
  const long = Buffer.alloc(MAX_BYTES + 3).toString("base64");
  const wrong: unknown[] = [
    null,
    "values",
    [],
    {},
    { ...values, number: "1" },
    { ...values, number: NaN },
    { ...values, type: "other" },
    { ...values, values: null },
    { ...values, values: { length: 1 } },
    { ...values, values: [1] },
    { ...values, values: ["%"] },
    { ...values, values: [long] },
    { ...values, values: Array.from({ length: 17 }, () => null) },
    { type: "failed", number: 1 },
    { type: "failed", number: 1, reason: 5 },
  ];
  for (const each of wrong) assert.equal(parseStoreEvent(each), undefined, JSON.stringify(each));
});

test("a reason is truncated", () => {
  const report = parseStoreEvent({ type: "failed", number: 1, reason: "x".repeat(60_000) });
  assert.equal(report?.type === "failed" && report.reason.length, 200);
});

test("a store is shown without user and password", () => {
  assert.equal(shownStore(URL), "redis://store:6380/3");
  assert.equal(shownStore("rediss://:p%40@[::1]"), "rediss://[::1]");
});

/** A store in memory of which it is known whether it was given up. */
class MemoryStore implements TicketStore {
  isStopped = false;
  private readonly values = new Map<string, Uint8Array>();

  get(names: readonly string[]) {
    return Promise.resolve(names.map((name) => this.values.get(name)));
  }

  set(entries: readonly StoreEntry[]) {
    for (const { name, value } of entries) this.values.set(name, value);
    return Promise.resolve();
  }

  stop() {
    this.isStopped = true;
    return Promise.resolve();
  }
}

function plan(change: Partial<TicketPlan["config"]["sessions"]>, more: Partial<TicketPlan> = {}) {
  const sessions = { ...configuration().sessions, ticketStore: URL, ...change };
  return { config: { sessions }, ticketSecret: SECRET, ...more };
}

const SECRET = randomBytes(32);

function tickets(first: TicketPlan, inherited?: Tickets["state"]) {
  const stores: MemoryStore[] = [];
  const lines: LogEntry[] = [];
  const changes: TicketRing[] = [];
  const made = new Tickets(first, (ring) => changes.push(ring), () => 0, inherited, {
    open: () => {
      stores.push(new MemoryStore());
      return stores.at(-1)!;
    },
    log: (entry) => lines.push(entry),
  });
  return { tickets: made, stores, lines, changes };
}

/** A check, and its result with a store in memory. */
async function check(tickets: Tickets): Promise<void> {
  tickets.check();
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
}

function current({ secrets, current }: TicketRing): string {
  return secrets[current]!;
}

test("a plan with a store shares its keys, and logs the store without the password", async () => {
  const { tickets: made, lines, changes } = tickets(plan({}));
  await check(made);
  assert.deepEqual(changes, [made.ring]);
  assert.deepEqual(lines.map(({ message }) => message), [
    "ticket keys are shared through the ticket store redis://store:6380/3",
  ]);
});

test("no store is opened without tickets", () => {
  const { stores } = tickets(plan({ tickets: false }));
  assert.equal(stores.length, 0);
});

test("another store, CA or user keeps the keys and closes the old store", async () => {
  const { tickets: made, stores } = tickets(plan({}));
  await check(made);
  const key = current(made.ring);
  const others = [
    plan({ ticketStore: "redis://other" }),
    plan({ ticketStore: "redis://other" }, { ticketStoreCa: "PEM" }),
    plan({ ticketStore: "redis://other" }, { privileges: { uid: 1, gid: 1, chroot: "" } }),
  ];
  for (const other of others) {
    const before = stores.at(-1)!;
    made.use(other);
    assert.ok(before.isStopped);
    assert.equal(current(made.ring), key);
    await check(made);
    assert.equal(current(made.ring), key);
  }
  made.use(others.at(-1)!);
  assert.equal(stores.length, 4);
  await made.stop();
  assert.ok(stores.at(-1)!.isStopped);
});

test("without the store keys are derived from the secret, and earlier ones are read", async () => {
  const { tickets: made, stores } = tickets(plan({}));
  await check(made);
  const key = current(made.ring);
  made.use(plan({ ticketStore: "" }));
  assert.ok(stores[0]!.isStopped);
  assert.notEqual(current(made.ring), key);
  assert.ok(made.ring.secrets.includes(key));
});

test("a successor has the store's keys before its first request", async () => {
  const { tickets: made } = tickets(plan({}));
  await check(made);
  const state = JSON.parse(JSON.stringify(made.state));
  assert.deepEqual(tickets(plan({}), state).tickets.ring, made.ring);
});
