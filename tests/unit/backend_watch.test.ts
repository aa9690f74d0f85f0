import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectionFailure } from "../../src/connection/failure.ts";
import { type BackendEvent, parseWorkerEvent } from "../../src/worker_protocol/messages.ts";
import { BackendWatch } from "../../src/worker/backend_watch.ts";
import { HandClock } from "../support/hand_clock.ts";

const refused: ConnectionFailure = { source: "backend", code: "backend-refused", cause: "refused" };
const timeout: ConnectionFailure = {
  source: "backend",
  code: "backend-timeout",
  cause: "timed out",
};

function watching() {
  const clock = new HandClock();
  const reports: BackendEvent[] = [];
  const channel = { isFull: false };
  const watch = new BackendWatch((report) => !channel.isFull && reports.push(report) > 0, clock);
  const sent = () =>
    reports.splice(0).map((report) =>
      report.type === "backend-failed"
        ? `${report.failures} ${report.code} ${report.at}`
        : `answers ${report.at}`
    );
  return { clock, channel, reports, watch, sent };
}

test("the first failure is reported at once, others once a second", () => {
  const { clock, watch, sent } = watching();
  watch.failed(refused);
  assert.deepEqual(sent(), ["1 backend-refused 0"]);
  for (let i = 0; i < 500; i++) watch.failed(refused);
  clock.advance(200);
  watch.failed(timeout);
  assert.deepEqual(sent(), []);
  clock.advance(800);
  assert.deepEqual(sent(), ["501 backend-timeout 200"]);
  clock.advance(10_000);
  assert.deepEqual(sent(), []);
  watch.failed(refused);
  assert.deepEqual(sent(), ["1 backend-refused 11000"]);
});

test("an answer is reported once, after failures", () => {
  const { clock, watch, sent } = watching();
  watch.answered();
  assert.deepEqual(sent(), []);
  watch.failed(refused);
  watch.failed(refused);
  clock.advance(300);
  watch.answered();
  watch.answered();
  clock.advance(700);
  assert.deepEqual(sent(), ["1 backend-refused 0", "1 backend-refused 0", "answers 300"]);
  watch.answered();
  clock.advance(1000);
  assert.deepEqual(sent(), []);
});

test("an answer that a failure follows within a second is not reported", () => {
  const { clock, watch, sent } = watching();
  watch.failed(refused);
  watch.answered();
  watch.failed(refused);
  clock.advance(1000);
  assert.deepEqual(sent(), ["1 backend-refused 0", "1 backend-refused 0"]);
});

test("what the channel does not take is reported later", () => {
  const { clock, channel, watch, sent } = watching();
  channel.isFull = true;
  watch.failed(refused);
  clock.advance(500);
  watch.answered();
  clock.advance(1500);
  channel.isFull = false;
  assert.deepEqual(sent(), []);
  clock.advance(1000);
  assert.deepEqual(sent(), ["1 backend-refused 0", "answers 500"]);
  clock.advance(10_000);
  assert.deepEqual(sent(), []);
});

test("a worker that saw no failure reports the next answer if asked to", () => {
  const { watch, sent } = watching();
  watch.expectAnswer();
  watch.answered();
  watch.answered();
  assert.deepEqual(sent(), ["answers 0"]);
});

test("a worker that exits reports what is due", () => {
  const { clock, watch, sent } = watching();
  watch.failed(refused);
  watch.failed(refused);
  sent();
  watch.flush();
  assert.deepEqual(sent(), ["1 backend-refused 0"]);
  clock.advance(1000);
  assert.deepEqual(sent(), []);
});

test("the master accepts events of this form only", () => {
  const { watch, reports } = watching();
  watch.failed(refused);
  watch.flush();
  const good = reports[0]!;
  const answers = { type: "backend-answers", at: 1 };
  assert.deepEqual([good, answers].map(parseWorkerEvent), [good, answers]);
  const bad = [
    ...[{ failures: 0 }, { failures: 1.5 }, { failures: "1" }, { at: -1 }, { at: null }],
    ...[{ source: "client" }, { code: 1 }, { cause: undefined }],
  ].map((change) => ({ ...good, ...change }));
  for (const value of [...bad, { ...answers, at: "1" }, { type: "backend-answers" }]) {
    assert.equal(parseWorkerEvent(value), undefined, JSON.stringify(value));
  }
});
