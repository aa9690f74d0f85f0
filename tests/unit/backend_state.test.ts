import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { BackendState } from "../../src/master/backend/backend_state.ts";
import { HandClock } from "../support/hand_clock.ts";

function watched() {
  const clock = new HandClock();
  clock.advance(1_000_000);
  const told: LogEntry[] = [];
  const asked = { times: 0 };
  const state = new BackendState((entry) => told.push(entry), () => asked.times++, clock);
  state.backend = "192.0.2.3:80";
  const fail = (code = "backend-refused", { failures = 1, ago = 0 } = {}) =>
    state.failed({
      ...{ type: "backend-failed", source: "backend", cause: "the cause" },
      ...{ code, failures, at: clock.now() - ago },
    });
  const answer = (ago = 0) => state.answers(clock.now() - ago);
  const lines = () =>
    told.splice(0).map(({ event, facts: { code, count } }) => `${event} ${code ?? count}`);
  return { clock, told, asked, state, fail, answer, lines };
}

test("an outage is told once, and its end with how long it was and what it cost", () => {
  const { clock, told, fail, answer } = watched();
  fail();
  for (let second = 0; second < 4; second++) {
    clock.advance(1000);
    fail("backend-refused", { failures: 1000 });
  }
  clock.advance(8_000);
  answer();
  answer();
  assert.deepEqual(told, [
    {
      level: "warn",
      event: "backend-down",
      message: "the backend 192.0.2.3:80 cannot be connected: backend-refused: the cause; " +
        "clients are closed until it answers, and only changes are told",
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

test("each outage is told anew, with a count of its own", () => {
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

test("another reason is told, and so is another backend", () => {
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

test("reasons that alternate are told once a minute", () => {
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

test("reasons that never end are not all told", () => {
  const { fail, lines } = watched();
  for (let i = 0; i < 1000; i++) fail(`code-${i}`);
  assert.equal(lines().length, 20);
});

test("a failure before the recovery that is reported after it begins no outage", () => {
  const { clock, state, fail, answer, lines } = watched();
  fail();
  clock.advance(1000);
  answer(300);
  lines();
  fail("backend-refused", { failures: 50, ago: 400 });
  assert.deepEqual(lines(), []);
  assert.equal(state.isDown, false);
  fail("backend-refused", { ago: 200 });
  assert.deepEqual(lines(), ["backend-down backend-refused"]);
});

test("how late a report comes makes no difference", () => {
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
  assert.equal(state.isDown, false);
});

test("a time that is yet to come is now", () => {
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
  assert.equal(state.isDown, true);
  assert.equal(asked.times, 2, "its sender would be silent about the next one");
  answer(50);
  assert.deepEqual(lines(), ["backend-down backend-refused", "backend-recovered 2"]);
});

test("our own fault is an error", () => {
  const { told, state } = watched();
  state.failed({
    ...{ type: "backend-failed", source: "internal", cause: "every port is in use" },
    ...{ code: "backend-no-ports", failures: 1, at: 0 },
  });
  assert.equal(told[0]!.level, "error");
});
