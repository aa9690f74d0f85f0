import { test } from "node:test";
import assert from "node:assert/strict";
import { type ReloadHistory, ReloadResults } from "../../src/service/reload_results.ts";
import type { ReloadStatus } from "../../src/status/status.ts";

const START = Date.parse("2026-03-01T12:00:00Z");

function results(inherited?: ReloadHistory) {
  let now = START;
  const reloads = new ReloadResults(inherited, () => now);
  const answers: string[] = [];
  const ask = (name: string) => {
    void reloads.next("a request").then(({ result, problems: [first = ""] }) =>
      answers.push(`${name} ${result} ${first}`.trim())
    );
  };
  return { reloads, ask, answers, wait: (ms: number) => now += ms };
}

/** Waits until settled promises have been handled. */
const settle = () => new Promise((resolve) => setTimeout(resolve));

test("a result has its cause, its time, its duration and its problems", () => {
  const { reloads, wait } = results();
  assert.deepEqual(reloads.status, { succeeded: 0, failed: 0, isRunning: false });
  reloads.begin();
  assert.equal(reloads.status.isRunning, true);
  wait(1500);
  reloads.end("received SIGHUP", ["a.pem: it is empty", "b.pem: it is empty"]);
  const last: ReloadStatus = {
    result: "failed",
    cause: "received SIGHUP",
    finishedAt: "2026-03-01T12:00:01.500Z",
    seconds: 1.5,
    problems: ["a.pem: it is empty", "b.pem: it is empty"],
  };
  assert.deepEqual(reloads.status, { succeeded: 0, failed: 1, isRunning: false, last });
  reloads.begin();
  reloads.end("certificate files have changed", []);
  const { succeeded, failed } = reloads.status;
  assert.deepEqual({ succeeded, failed }, { succeeded: 1, failed: 1 });
  assert.equal(reloads.status.last?.result, "succeeded");
  assert.deepEqual(reloads.status.last?.problems, []);
});

test("a request gets the result of a reload that began after it", async () => {
  const { reloads, ask, answers } = results();
  ask("early");
  reloads.begin();
  ask("late");
  ask("later");
  reloads.end("received SIGHUP", ["broken"]);
  await settle();
  assert.deepEqual(answers, ["early failed broken"]);
  reloads.begin();
  reloads.end("a request", []);
  await settle();
  assert.deepEqual(answers.slice(1), ["late succeeded", "later succeeded"]);
});

test("a reload that has to wait answers at once, and counts neither as success nor as failure", async () => {
  const { reloads, ask, answers } = results();
  ask("request");
  reloads.begin();
  reloads.postpone("a request", "the reload waits until an older generation has ended");
  await settle();
  assert.deepEqual(answers, [
    "request waiting the reload waits until an older generation has ended",
  ]);
  const { succeeded, failed, isRunning, last } = reloads.status;
  assert.deepEqual({ succeeded, failed, isRunning }, { succeeded: 0, failed: 0, isRunning: false });
  assert.equal(last?.result, "waiting");
});

test("after the end of reloads each request is answered with the reason", async () => {
  const { reloads, ask, answers } = results();
  ask("before");
  reloads.begin();
  ask("during");
  reloads.close("stud is stopping");
  ask("after");
  await settle();
  assert.deepEqual(
    answers,
    ["before", "during", "after"].map((name) => `${name} failed stud is stopping`),
  );
  assert.equal(reloads.status.isRunning, false);
});

test("a successor goes on with the counts and the last result", () => {
  const first = results().reloads;
  first.begin();
  first.end("received SIGHUP", ["broken"]);
  const { reloads } = results(JSON.parse(JSON.stringify(first.inheritance)));
  assert.deepEqual(reloads.status, first.status);
  reloads.begin();
  reloads.end("received SIGHUP", []);
  assert.deepEqual([reloads.status.succeeded, reloads.status.failed], [1, 1]);
});
