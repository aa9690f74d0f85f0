/** Ticket keys that machines share through a store: a fake one, and clocks moved by hand. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { randomSecret, type TicketRing } from "../../src/tickets/ring.ts";
import { StoreEntries, VALUE_LENGTH } from "../../src/tickets/store_entries.ts";
import { type StoreEntry, StoreKeys, type StoreState } from "../../src/tickets/store_keys.ts";

const PERIOD = 1000;
/** In the middle of a slot. */
const BEGIN = 1_000_500;
const SLOT = 1000;
const secret = randomBytes(32);
const entries = new StoreEntries(secret, PERIOD);
/** The secret of 32 bytes 7 for slot 40,000 of a fleet. */
const NAME = "stud:ticket-key:ce3a299e74171f2190e9831ba5096976:43200:40000";
const VALUE =
  "Aa/DTtfBgWhgx+jGZ1HO4KULtv1pAojvKExzViLdko90OzXqR5TKcIQYZBYHr9ubt/0Hz+QK+5VuE31pTw==";

/** A server whose entries do not expire on their own. */
class FakeStore {
  readonly values = new Map<string, Uint8Array>();
  readonly ttls = new Map<string, number>();
  failure: string | undefined;
  /** Happens between a machine's look and what it writes. */
  beforeSet: () => void = () => {};
  gets = 0;

  get(names: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    this.gets++;
    if (this.failure) return Promise.reject(new Error(this.failure));
    return Promise.resolve(names.map((name) => this.values.get(name)));
  }

  set(wanted: readonly StoreEntry[]): Promise<void> {
    this.beforeSet();
    if (this.failure) return Promise.reject(new Error(this.failure));
    for (const { name, value, ttl, onlyNew } of wanted) {
      if (onlyNew && this.values.has(name)) continue;
      this.values.set(name, value);
      this.ttls.set(name, ttl);
    }
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}

/** One machine's keys; `skew` seconds is its clock ahead. */
function machine(
  store: FakeStore,
  clock: { now: number; jump?: number },
  { skew = 0, inherited, key = secret }: {
    skew?: number;
    inherited?: StoreState;
    key?: Uint8Array;
  } = {},
) {
  const lines: LogEntry[] = [];
  const changes: TicketRing[] = [];
  const keys: StoreKeys = new StoreKeys({
    ...{ store, place: "redis://store", secret: key, period: PERIOD },
    date: () => BEGIN + clock.now + (clock.jump ?? 0) + skew,
    now: () => clock.now,
    changed: () => changes.push(keys.ring),
    log: (entry) => lines.push(entry),
  }, inherited);
  return { keys, lines, changes, events: () => lines.map(({ event }) => event) };
}

/** A second's check, and all that comes of it. */
async function check(...machines: { readonly keys: StoreKeys }[]): Promise<void> {
  for (const { keys } of machines) keys.check();
  await settled();
}

/** Each answer of the fake store takes a few turns. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
}

function current({ secrets, current }: TicketRing): string {
  return secrets[current]!;
}

test("a value opens only under its own name, with its own secret, and if complete", () => {
  const key = randomSecret();
  const value = entries.seal(7, key);
  assert.equal(value.length, VALUE_LENGTH);
  assert.equal(entries.open(7, value), key);
  assert.equal(entries.open(8, value), undefined);
  assert.equal(new StoreEntries(secret, PERIOD + 1).open(7, value), undefined);
  assert.equal(new StoreEntries(randomBytes(32), PERIOD).open(7, value), undefined);
  for (let length = 0; length < value.length; length++) {
    assert.equal(entries.open(7, value.subarray(0, length)), undefined);
  }
  assert.equal(entries.open(7, Buffer.concat([value, Buffer.alloc(1)])), undefined);
  for (let at = 0; at < value.length; at++) {
    const other = Uint8Array.from(value);
    other[at]! ^= 1;
    assert.equal(entries.open(7, other), undefined, `byte ${at}`);
  }
});

test("a name is specific to a fleet, reveals nothing of its secret, and is sealed differently each time", () => {
  assert.match(entries.nameOf(7), /^stud:ticket-key:[0-9a-f]{32}:1000:7$/);
  assert.notEqual(new StoreEntries(randomBytes(32), PERIOD).nameOf(7), entries.nameOf(7));
  const key = randomSecret();
  assert.notDeepEqual(entries.seal(7, key), entries.seal(7, key));
});

test("the format of an entry has not changed", () => {
  // As in docs/sessions.md, so that versions can be mixed.
  const fleet = new StoreEntries(
    new TextEncoder().encode("0123456789abcdef0123456789abcdef"),
    43_200,
  );
  assert.equal(fleet.nameOf(40_000), NAME);
  assert.equal(
    fleet.open(40_000, Buffer.from(VALUE, "base64")),
    Buffer.alloc(32, 7).toString("base64"),
  );
});

test("machines agree on random keys, for the next slot too before it begins", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  const [a, b] = [machine(store, clock), machine(store, clock)];
  await check(a, b);
  assert.equal(current(a.keys.ring), current(b.keys.ring));
  assert.equal(a.changes.length, 1);
  assert.deepEqual([...store.values.keys()], [SLOT, SLOT + 1].map((slot) => entries.nameOf(slot)));
  const next = entries.open(SLOT + 1, store.values.get(entries.nameOf(SLOT + 1))!);
  assert.ok(a.keys.ring.secrets.includes(next!) && b.keys.ring.secrets.includes(next!));
  store.failure = "gone";
  clock.now += PERIOD / 2;
  await check(a, b);
  assert.equal(current(a.keys.ring), next, "the next key is known before it is used");
  assert.equal(current(b.keys.ring), next);
  assert.deepEqual(a.events(), ["ticket-store-answers", "ticket-store-fails"]);
});

test("the first to write determines the key, even between another's read and write", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  const theirs = randomSecret();
  store.beforeSet = () => store.values.set(entries.nameOf(SLOT), entries.seal(SLOT, theirs));
  const a = machine(store, clock);
  await check(a);
  assert.equal(current(a.keys.ring), theirs);
});

test("an entry lives until no ticket of its slot is read any more", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  await check(machine(store, clock));
  assert.deepEqual([...store.ttls.values()], [2_500_000, 3_500_000]);
});

test("keys are added and removed with their slots, and each reads for a period after its last ticket", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  const a = machine(store, clock);
  await check(a);
  const first = current(a.keys.ring);
  for (const end = clock.now + 2 * PERIOD; clock.now < end; clock.now += 10) {
    assert.ok(a.keys.ring.secrets.includes(first));
    await check(a);
  }
  assert.notEqual(current(a.keys.ring), first);
  clock.now += PERIOD;
  await check(a);
  assert.ok(!a.keys.ring.secrets.includes(first));
  assert.equal(a.keys.ring.secrets.length, 4);
});

test("machines whose clocks are a slot apart read each other's tickets", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  const [behind, ahead] = [machine(store, clock), machine(store, clock, { skew: PERIOD })];
  for (let step = 0; step < 40; step++) {
    await check(behind, ahead);
    clock.now += 10;
    await check(behind, ahead);
    assert.ok(ahead.keys.ring.secrets.includes(current(behind.keys.ring)));
    assert.ok(behind.keys.ring.secrets.includes(current(ahead.keys.ring)));
    clock.now += PERIOD / 10;
  }
});

for (
  const [what, garbage] of [
    ["text", Buffer.from("roses are red")],
    ["an empty text of another type", new Uint8Array(0)],
    ["another slot's entry", entries.seal(SLOT + 1, randomSecret())],
  ] as const
) {
  test(`${what} in an entry is logged once and replaced by the known key`, async () => {
    const [store, clock] = [new FakeStore(), { now: 0 }];
    const a = machine(store, clock);
    await check(a);
    const before = a.keys.ring;
    for (let time = 0; time < 3; time++) {
      store.values.set(entries.nameOf(SLOT), garbage);
      clock.now += 10;
      await check(a);
      assert.deepEqual(a.keys.ring, before);
      const value = store.values.get(entries.nameOf(SLOT))!;
      assert.equal(entries.open(SLOT, value), current(before));
    }
    assert.deepEqual(a.events(), ["ticket-store-answers", "ticket-store-garbage"]);
    assert.ok(a.lines[1]!.message.includes(entries.nameOf(SLOT)));
  });

  test(`${what} is replaced by a new key if none is known`, async () => {
    const [store, clock] = [new FakeStore(), { now: 0 }];
    store.values.set(entries.nameOf(SLOT), garbage);
    const [a, b] = [machine(store, clock), machine(store, clock)];
    await check(a);
    await check(b);
    assert.equal(current(a.keys.ring), current(b.keys.ring));
    assert.deepEqual(b.events(), ["ticket-store-answers"]);
  });
}

test("garbage of a past slot is left to expire if no key is known", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  const garbage = Buffer.from("roses are red");
  store.values.set(entries.nameOf(SLOT - 1), garbage);
  const a = machine(store, clock);
  await check(a);
  assert.equal(store.values.get(entries.nameOf(SLOT - 1)), garbage);
  assert.deepEqual(a.events(), ["ticket-store-garbage", "ticket-store-answers"]);
});

test("an empty text, which looks like a missing entry, is replaced", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  const name = entries.nameOf(SLOT);
  store.values.set(name, new Uint8Array(0));
  const get = store.get.bind(store);
  store.get = async (names) => (await get(names)).map((value) => value?.length ? value : undefined);
  const a = machine(store, clock);
  await check(a);
  assert.equal(entries.open(SLOT, store.values.get(name)!), current(a.keys.ring));
  assert.deepEqual(a.events(), ["ticket-store-answers"]);
});

test("a store that accepts no more writes still supplies its keys", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  const a = machine(store, clock);
  await check(a);
  store.values.delete(entries.nameOf(SLOT + 1));
  store.set = () => Promise.reject(new Error("READONLY"));
  const b = machine(store, clock);
  await check(b);
  assert.equal(current(b.keys.ring), current(a.keys.ring));
  assert.match(b.lines[0]!.message, /fails \(READONLY\); .+ the known ticket keys stay in use/);
});

test("a store that keeps nothing fails", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  store.set = () => Promise.resolve();
  const a = machine(store, clock);
  await check(a);
  assert.match(a.lines[0]!.message, /fails \(it does not keep what is written\)/);
});

test("another machine's key for the slot is used, and ours still reads its own tickets", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  const a = machine(store, clock);
  await check(a);
  const [ours, theirs] = [current(a.keys.ring), randomSecret()];
  store.values.set(entries.nameOf(SLOT), entries.seal(SLOT, theirs));
  clock.now += 10;
  await check(a);
  assert.equal(current(a.keys.ring), theirs);
  clock.now += PERIOD - 1;
  await check(a);
  assert.ok(a.keys.ring.secrets.includes(ours));
  clock.now += 1;
  await check(a);
  assert.ok(!a.keys.ring.secrets.includes(ours));
});

test("a store that returns ever new keys does not fill the memory", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  const a = machine(store, clock);
  for (let time = 0; time < 50; time++) {
    store.values.set(entries.nameOf(SLOT), entries.seal(SLOT, randomSecret()));
    clock.now += 10;
    await check(a);
  }
  assert.ok(a.keys.ring.secrets.length <= 20);
});

test("without a store at its start a machine uses its own keys, and later reads them for a period", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  store.failure = "connection refused";
  const a = machine(store, clock);
  const own = current(a.keys.ring);
  await check(a);
  assert.equal(current(a.keys.ring), own);
  assert.equal(a.lines[0]!.level, "warn");
  assert.match(
    a.lines[0]!.message,
    /^the ticket store redis:\/\/store fails \(connection refused\); until it answers, this machine/,
  );
  clock.now += PERIOD;
  await check(a);
  const second = current(a.keys.ring);
  assert.notEqual(second, own, "its own keys change too");
  store.failure = undefined;
  clock.now += 10;
  await check(a);
  const shared = current(a.keys.ring);
  assert.ok(![own, second].includes(shared));
  assert.deepEqual(a.events(), ["ticket-store-fails", "ticket-store-answers"]);
  clock.now += PERIOD - 1;
  await check(a);
  for (const each of [own, second, shared]) assert.ok(a.keys.ring.secrets.includes(each));
  clock.now += 1;
  await check(a);
  assert.ok(!a.keys.ring.secrets.includes(second));
});

test("without the store the last key stays in use, and is read for a period after a new one", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  const a = machine(store, clock);
  await check(a);
  store.failure = "timeout";
  clock.now += 10;
  await check(a);
  clock.now += PERIOD;
  await check(a);
  clock.now += 10 * PERIOD;
  await check(a);
  const last = current(a.keys.ring);
  assert.deepEqual(a.keys.ring.secrets, [last]);
  assert.match(a.lines[1]!.message, /the known ticket keys stay in use/);
  store.failure = undefined;
  clock.now += 10;
  await check(a);
  assert.notEqual(current(a.keys.ring), last);
  clock.now += PERIOD - 1;
  await check(a);
  assert.ok(a.keys.ring.secrets.includes(last));
  clock.now += 1;
  await check(a);
  assert.ok(!a.keys.ring.secrets.includes(last));
});

test("a store that is empty after a restart gets the known keys", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  const a = machine(store, clock);
  await check(a);
  const before = a.keys.ring;
  store.values.clear();
  clock.now += 10;
  await check(a);
  const b = machine(store, clock);
  await check(b);
  assert.deepEqual(a.keys.ring, before);
  assert.equal(current(b.keys.ring), current(before));
});

test("a store that is unavailable repeatedly causes at most two lines a minute", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  const a = machine(store, clock);
  for (; clock.now < 600; clock.now += 10) {
    store.failure = clock.now % 20 ? "gone" : undefined;
    await check(a);
  }
  assert.ok(a.lines.length <= 21, `${a.lines.length} lines`);
  assert.ok(a.lines.length >= 10, `${a.lines.length} lines`);
});

test("the store is polled every ten seconds, with one request at a time", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  const a = machine(store, clock);
  await check(a);
  const before = store.gets;
  for (let second = 0; second < 100; second++, clock.now++) await check(a);
  assert.equal(store.gets - before, 9);
  store.get = () => {
    store.gets++;
    return new Promise(() => {});
  };
  clock.now += 10;
  const asked = store.gets;
  for (let second = 0; second < 100; second++, clock.now++) await check(a);
  assert.equal(store.gets - asked, 1);
});

test("when the clock is set back before all keys, own keys are used and the last one is read", async () => {
  const [store, clock] = [new FakeStore(), { now: 0, jump: 0 }];
  const a = machine(store, clock);
  await check(a);
  const before = current(a.keys.ring);
  store.failure = "gone";
  clock.jump = -5 * PERIOD;
  assert.equal(a.keys.check(), true);
  assert.notEqual(current(a.keys.ring), before);
  assert.ok(a.keys.ring.secrets.includes(before));
});

test("a successor continues with the keys, known or own, if they belong to the same fleet", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  for (const failure of ["gone", undefined]) {
    store.failure = failure;
    const a = machine(store, clock);
    await check(a);
    const inherited = a.keys.state;
    assert.deepEqual(machine(store, clock, { inherited }).keys.ring, a.keys.ring);
    const other = machine(store, clock, { inherited, key: randomBytes(32) }).keys.ring;
    assert.deepEqual(other.secrets.filter((each) => a.keys.ring.secrets.includes(each)), []);
  }
});

test("nothing is requested or logged after a stop", async () => {
  const [store, clock] = [new FakeStore(), { now: 0 }];
  const a = machine(store, clock);
  a.keys.check();
  const { gets } = store;
  store.failure = "killed";
  await a.keys.stop();
  await settled();
  clock.now += 100;
  await check(a);
  assert.equal(store.gets, gets);
  assert.deepEqual(a.lines, []);
});
