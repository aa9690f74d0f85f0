import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogEntry } from "../../src/log.ts";
import { type RepeatLimits, Repeats } from "../../src/repeats.ts";
import { HandClock } from "../support/hand_clock.ts";

function counting(level: 0 | 1 | 2 = 1, limits?: RepeatLimits) {
  const clock = new HandClock();
  const told: LogEntry[] = [];
  const repeats = new Repeats((entry) => told.push(entry), () => level, clock, limits);
  let number = 0;
  const fail = (cause: string, code = "handshake-failed") => {
    const message = `connection ${++number} failed: ${cause}`;
    const facts = { connection: number, source: "client", code, cause };
    repeats.tell({ level: "warn", event: "connection-failed", message, facts });
  };
  const failOften = (times: number, cause: string) => {
    for (let i = 0; i < times; i++) fail(cause);
  };
  const sums = () => told.filter(({ event }) => event === "events-repeated");
  return { clock, told, repeats, fail, failOften, sums };
}

test("the first ten are told one by one, the rest in one line at the window's end", () => {
  const { clock, told, failOften, sums } = counting();
  failOften(4212, "no TLS");
  assert.equal(told.length, 10);
  clock.advance(9_999);
  assert.equal(told.length, 10);
  clock.advance(1);
  assert.equal(told.length, 11);
  assert.deepEqual(sums(), [{
    level: "warn",
    event: "events-repeated",
    message: "4,202 more times in the last 10 s; the last one: connection 4212 failed: no TLS",
    facts: {
      ...{ repeated: "connection-failed", source: "client", code: "handshake-failed" },
      ...{ cause: "no TLS", count: 4202, seconds: 10 },
    },
  }]);
});

test("the next window begins with lines again", () => {
  const { clock, told, failOften } = counting();
  failOften(11, "no TLS");
  clock.advance(10_000);
  failOften(10, "no TLS");
  assert.equal(told.length, 21);
  clock.advance(60_000);
  assert.equal(told.length, 21);
});

test("a few equal events are told and need no timer", () => {
  const { clock, told, failOften } = counting();
  clock.after = () => assert.fail("a timer");
  for (let window = 0; window < 5; window++) {
    failOften(10, "no TLS");
    clock.advance(10_000);
  }
  assert.equal(told.length, 50);
});

test("one timer serves all kinds of a window", () => {
  const { clock, failOften, sums } = counting();
  let timers = 0;
  const after = clock.after.bind(clock);
  clock.after = (milliseconds, call) => {
    timers++;
    after(milliseconds, call);
  };
  failOften(11, "no TLS");
  clock.advance(4_000);
  failOften(12, "plain HTTP");
  clock.advance(6_000);
  assert.deepEqual(sums().map(({ facts }) => facts.count), [1, 2]);
  assert.equal(timers, 1);
});

test("events of different source, code or cause are not equal", () => {
  const { clock, told, repeats, fail, sums } = counting();
  for (let i = 0; i < 10; i++) {
    fail("no TLS");
    fail("plain HTTP");
    fail("no TLS", "client-reset");
    repeats.tell({ level: "warn", event: "connection-failed", message: "other", facts: {} });
    repeats.tell({ level: "warn", event: "accept-failed", message: "other", facts: {} });
  }
  clock.advance(10_000);
  assert.equal(told.length, 50);
  assert.deepEqual(sums(), []);
});

test("events that name no cause are equal when their messages are", () => {
  const { clock, told, repeats, sums } = counting();
  for (let i = 0; i < 30; i++) {
    const message = i % 3 === 0 ? "disk full" : "no route";
    repeats.tell({ level: "error", event: "worker-failed", message, facts: { worker: i } });
  }
  assert.equal(told.length, 20);
  clock.advance(10_000);
  assert.deepEqual(sums().map(({ message }) => message), [
    "10 more times in the last 10 s; the last one: no route",
  ]);
});

test("causes that a client makes up are counted together, in bounded memory", () => {
  const { clock, told, fail, sums } = counting();
  for (let i = 0; i < 10_000; i++) fail(`cause ${i}`);
  assert.equal(told.length, 110);
  clock.advance(10_000);
  assert.deepEqual(sums().map(({ message, facts }) => ({ message, facts })), [{
    message: "9,890 more times in the last 10 s, for various causes; " +
      "the last one: connection 10000 failed: cause 9999",
    facts: {
      ...{ repeated: "connection-failed", code: "handshake-failed" },
      ...{ count: 9890, seconds: 10 },
    },
  }]);
});

test("what is counted can be told before the window ends", () => {
  const { clock, repeats, failOften, sums } = counting();
  failOften(5_000, "no TLS");
  clock.advance(3_000);
  repeats.flush();
  assert.match(sums()[0]!.message, /^4,990 more times in the last 3 s; /);
  repeats.flush();
  clock.advance(10_000);
  assert.equal(sums().length, 1);
});

test("at level 2 every event is told", () => {
  const { told, failOften } = counting(2);
  failOften(1_000, "no TLS");
  assert.equal(told.length, 1_000);
});

test("how many are told, and for how long the others are counted, can be chosen", () => {
  const { clock, told, failOften, sums } = counting(1, { windowMs: 60_000, told: 1 });
  failOften(100, "no TLS");
  assert.equal(told.length, 1);
  clock.advance(59_999);
  assert.equal(told.length, 1);
  clock.advance(1);
  assert.match(sums()[0]!.message, /^99 more times in the last 60 s; /);
});
