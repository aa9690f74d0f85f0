import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { BackendState } from "../../src/master/backend/backend_state.ts";
import { HandClock } from "../support/hand_clock.ts";

function watched() {
  const clock = new HandClock();
  clock.advance(1_000_000);
  const logged: LogEntry[] = [];
  const asked = { times: 0 };
  const state = new BackendState((entry) => logged.push(entry), () => asked.times++, clock);
  state.backend = "192.0.2.3:80";
  const fail = (code = "backend-refused", { failures = 1, ago = 0 } = {}) =>
    state.failed({
      ...{ type: "backend-failed", source: "backend", cause: "the cause" },
      ...{ code, failures, at: clock.now() - ago },
    });
  const answer = (ago = 0) => state.answers(clock.now() - ago);
  const lines = () =>
    logged.splice(0).map(({ event, facts: { code, count } }) => `${event} ${code ?? count}`);
  return { clock, logged, asked, state, fail, answer, lines };
}

test("an outage is logged once, and its end with duration and failed connections", () => {
  const { clock, logged, fail, answer } = watched();
  fail();
  for (let second = 0; second < 4; second++) {
    clock.advance(1000);
    fail("backend-refused", { failures: 1000 });
  }
  clock.advance(8_000);
  answer();
  answer();
  assert.deepEqual(logged, [
    {
      level: "warn",
      event: "backend-down",
      message: "cannot connect to the backend 192.0.2.3:80: backend-refused: the cause; " +
        "clients are disconnected until a connection succeeds; only changes are logged",
      facts: {
        ...{ backend: "192.0.2.3:80", source: "backend" },
        ...{ code: "backend-refused", cause: "the cause" },
      },
    },
    {
      level: "info",
      event: "backend-recovered",
      message: "the backend 192.0.2.3:80 answers again after 12 s; " +
        "connections that failed meanwhile: 4,001",
      facts: { backend: "192.0.2.3:80", seconds: 12, count: 4001 },
    },
  ]);
});

test("each outage is logged, with its own count", () => {
  const { fail, answer, lines } = watched();
  fail();
  answer();
  fail("backend-refused", { failures: 3 });
  answer();
  assert.deepEqual(lines(), [
    ...["backend-down backend-refused", "backend-recovered 1"],
    ...["backend-down backend-refused", "backend-recovered 3"],
  ]);
});

test("a new reason is logged, and so is a new backend", () => {
  const { state, fail, lines } = watched();
  fail();
  fail("backend-timeout");
  fail("backend-timeout");
  state.backend = "192.0.2.4:80";
  fail("backend-timeout");
  assert.deepEqual(lines(), [
    "backend-down backend-refused",
    ...["backend-down backend-timeout", "backend-down backend-timeout"],
  ]);
});

test("reasons that alternate are logged once a minute", () => {
  const { clock, fail, lines } = watched();
  for (let second = 0; second < 60; second++) {
    fail("backend-refused");
    fail("backend-timeout");
    clock.advance(1000);
  }
  assert.equal(lines().length, 2);
  fail("backend-refused");
  fail("backend-refused");
  assert.deepEqual(lines(), ["backend-down backend-refused"]);
});

test("the number of logged reasons is limited", () => {
  const { fail, lines } = watched();
  for (let i = 0; i < 1000; i++) fail(`code-${i}`);
  assert.equal(lines().length, 20);
});

test("a failure before the recovery that is reported after it starts no outage", () => {
  const { clock, state, fail, answer, lines } = watched();
  fail();
  clock.advance(1000);
  answer(300);
  lines();
  fail("backend-refused", { failures: 50, ago: 400 });
  assert.deepEqual(lines(), []);
  assert.notEqual(state.status(0).state, "down");
  fail("backend-refused", { ago: 200 });
  assert.deepEqual(lines(), ["backend-down backend-refused"]);
});

test("the delay of a report makes no difference", () => {
  const { clock, state, fail, answer, lines } = watched();
  fail();
  clock.advance(1000);
  answer(300);
  lines();
  clock.advance(5000);
  fail("backend-refused", { ago: 5400 });
  assert.deepEqual(lines(), []);
  fail("backend-refused", { ago: 5200 });
  assert.deepEqual(lines(), ["backend-down backend-refused"]);
  answer(5100);
  assert.notEqual(state.status(0).state, "down");
});

test("a time in the future counts as now", () => {
  const { clock, fail, answer, lines } = watched();
  fail("backend-refused", { ago: -1e9 });
  clock.advance(1);
  answer();
  assert.deepEqual(lines(), ["backend-down backend-refused", "backend-recovered 1"]);
});

test("an answer before the last failure that is reported after it ends no outage", () => {
  const { clock, asked, state, fail, answer, lines } = watched();
  fail();
  assert.equal(asked.times, 1);
  clock.advance(1000);
  fail("backend-refused", { ago: 100 });
  answer(500);
  assert.equal(state.status(0).state, "down");
  assert.equal(asked.times, 2, "its sender would not report the next one");
  answer(50);
  assert.deepEqual(lines(), ["backend-down backend-refused", "backend-recovered 2"]);
});

test("an internal cause is an error", () => {
  const { logged, state } = watched();
  state.failed({
    ...{ type: "backend-failed", source: "internal", cause: "every port is in use" },
    ...{ code: "backend-no-ports", failures: 1, at: 0 },
  });
  assert.equal(logged[0]!.level, "error");
});

test("the status has the state of the backend, since when, and the cause", () => {
  const { state, clock, fail, answer } = watched();
  const begin = clock.now();
  const status = () => state.status(Date.parse("2026-03-01T12:00:00Z") + clock.now() - begin);
  const [service, address] = ["default", "192.0.2.3:80"];
  assert.deepEqual(status(), { service, address, state: "unknown" });
  assert.equal(state.expectsAnswer, true);
  clock.advance(1000);
  answer();
  clock.advance(5000);
  answer();
  const up = { service, address, state: "up", since: "2026-03-01T12:00:01.000Z" };
  assert.deepEqual(status(), up);
  assert.equal(state.expectsAnswer, false);
  fail();
  clock.advance(5000);
  assert.deepEqual(status(), {
    ...{ service, address, state: "down", since: "2026-03-01T12:00:06.000Z" },
    cause: "backend-refused: the cause",
  });
  assert.equal(state.expectsAnswer, true);
  answer();
  assert.deepEqual(status(), { ...up, since: "2026-03-01T12:00:11.000Z" });
  state.backend = "192.0.2.9:80";
  assert.deepEqual(status(), { service, address: "192.0.2.9:80", state: "unknown" });
});
