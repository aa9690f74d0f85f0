import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { LogRateLimiter, type RateLimit } from "../../src/log/rate_limiter.ts";
import { HandClock } from "../support/hand_clock.ts";

function counting(level: 0 | 1 | 2 = 1, limit?: RateLimit) {
  const clock = new HandClock();
  const logged: LogEntry[] = [];
  const limiter = new LogRateLimiter((entry) => logged.push(entry), () => level, clock, limit);
  let number = 0;
  const fail = (cause: string, code = "handshake-failed") => {
    const message = `connection ${++number} failed: ${cause}`;
    const facts = { connection: number, source: "client", code, cause };
    limiter.log({ level: "warn", event: "connection-failed", message, facts });
  };
  const failOften = (times: number, cause: string) => {
    for (let i = 0; i < times; i++) fail(cause);
  };
  const sums = () => logged.filter(({ event }) => event === "events-repeated");
  return { clock, logged, limiter, fail, failOften, sums };
}

test("the first ten are logged one by one, the others summarized at the end of the interval", () => {
  const { clock, logged, failOften, sums } = counting();
  failOften(4212, "no TLS");
  assert.equal(logged.length, 10);
  clock.advance(9_999);
  assert.equal(logged.length, 10);
  clock.advance(1);
  assert.equal(logged.length, 11);
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

test("the next interval begins with single lines again", () => {
  const { clock, logged, failOften } = counting();
  failOften(11, "no TLS");
  clock.advance(10_000);
  failOften(10, "no TLS");
  assert.equal(logged.length, 21);
  clock.advance(60_000);
  assert.equal(logged.length, 21);
});

test("a few equal events are logged and need no timer", () => {
  const { clock, logged, failOften } = counting();
  clock.after = () => assert.fail("a timer");
  for (let i = 0; i < 5; i++) {
    failOften(10, "no TLS");
    clock.advance(10_000);
  }
  assert.equal(logged.length, 50);
});

test("one timer serves all groups of an interval", () => {
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
  const { clock, logged, limiter, fail, sums } = counting();
  for (let i = 0; i < 10; i++) {
    fail("no TLS");
    fail("plain HTTP");
    fail("no TLS", "client-reset");
    limiter.log({ level: "warn", event: "connection-failed", message: "other", facts: {} });
    limiter.log({ level: "warn", event: "accept-failed", message: "other", facts: {} });
  }
  clock.advance(10_000);
  assert.equal(logged.length, 50);
  assert.deepEqual(sums(), []);
});

test("events without a cause are equal if their messages are", () => {
  const { clock, logged, limiter, sums } = counting();
  for (let i = 0; i < 30; i++) {
    const message = i % 3 === 0 ? "disk full" : "no route";
    limiter.log({ level: "error", event: "worker-failed", message, facts: { worker: i } });
  }
  assert.equal(logged.length, 20);
  clock.advance(10_000);
  assert.deepEqual(sums().map(({ message }) => message), [
    "10 more times in the last 10 s; the last one: no route",
  ]);
});

test("causes that a client chooses are counted together, in bounded memory", () => {
  const { clock, logged, fail, sums } = counting();
  for (let i = 0; i < 10_000; i++) fail(`cause ${i}`);
  assert.equal(logged.length, 110);
  clock.advance(10_000);
  assert.deepEqual(sums().map(({ message, facts }) => ({ message, facts })), [{
    message: "9,890 more times in the last 10 s, with different causes; " +
      "the last one: connection 10000 failed: cause 9999",
    facts: {
      ...{ repeated: "connection-failed", source: "client", code: "handshake-failed" },
      ...{ count: 9890, seconds: 10 },
    },
  }]);
});

test("summaries can be logged before the interval ends", () => {
  const { clock, limiter, failOften, sums } = counting();
  failOften(5_000, "no TLS");
  clock.advance(3_000);
  limiter.flush();
  assert.match(sums()[0]!.message, /^4,990 more times in the last 3 s; /);
  limiter.flush();
  clock.advance(10_000);
  assert.equal(sums().length, 1);
});

test("at level 2 every event is logged", () => {
  const { logged, failOften } = counting(2);
  failOften(1_000, "no TLS");
  assert.equal(logged.length, 1_000);
});

test("the burst and the interval can be chosen", () => {
  const { clock, logged, failOften, sums } = counting(1, { intervalMs: 60_000, burst: 1 });
  failOften(100, "no TLS");
  assert.equal(logged.length, 1);
  clock.advance(59_999);
  assert.equal(logged.length, 1);
  clock.advance(1);
  assert.match(sums()[0]!.message, /^99 more times in the last 60 s; /);
});
