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
  reloads.begin("received SIGHUP");
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
  reloads.begin("received SIGHUP");
  reloads.end("certificate files have changed", []);
  const { succeeded, failed } = reloads.status;
  assert.deepEqual({ succeeded, failed }, { succeeded: 1, failed: 1 });
  assert.equal(reloads.status.last?.result, "succeeded");
  assert.deepEqual(reloads.status.last?.problems, []);
});

test("a request gets the result of a reload that began after it", async () => {
  const { reloads, ask, answers } = results();
  ask("early");
  reloads.begin("received SIGHUP");
  ask("late");
  ask("later");
  reloads.end("received SIGHUP", ["broken"]);
  await settle();
  assert.deepEqual(answers, ["early failed broken"]);
  reloads.begin("received SIGHUP");
  reloads.end("a request", []);
  await settle();
  assert.deepEqual(answers.slice(1), ["late succeeded", "later succeeded"]);
});

test("a reload that has to wait answers at once, and counts neither as success nor as failure", async () => {
  const { reloads, ask, answers } = results();
  ask("request");
  reloads.begin("received SIGHUP");
  reloads.postpone("a request", "the reload waits until an older generation has ended");
  await settle();
  assert.deepEqual(answers, [
    "request waiting the reload waits until an older generation has ended",
  ]);
  const { inProgress, ...others } = reloads.status;
  assert.deepEqual(others, { succeeded: 0, failed: 0, isRunning: false });
  assert.deepEqual(inProgress, [{
    state: "waiting",
    cause: "a request",
    since: "2026-03-01T12:00:00.000Z",
    reason: "the reload waits until an older generation has ended",
    waitsForRoom: true,
  }]);
});

test("what is in progress is shown with its cause and what it waits for, and the last result stays", () => {
  const { reloads, ask, wait } = results();
  const shown = () =>
    reloads.status.inProgress?.map(({ state, cause, since, reason }) =>
      [state, cause, since.slice(17, 19), reason].filter(Boolean).join(" ")
    );
  reloads.begin("received SIGHUP");
  reloads.end("received SIGHUP", ["broken"]);
  const { last } = reloads.status;
  assert.equal(shown(), undefined);
  reloads.hold("an upgrade is in progress");
  ask("first");
  wait(1000);
  ask("second");
  assert.deepEqual(shown(), ["waiting a request 00 an upgrade is in progress"]);
  reloads.release();
  assert.deepEqual(shown(), ["waiting a request 00"]);
  reloads.begin("a request");
  ask("third");
  assert.deepEqual(shown(), [
    "running a request 00",
    "waiting a request 01 another reload is running",
  ]);
  reloads.postpone("a request", "no room");
  assert.deepEqual(shown(), ["waiting a request 01", "waiting a request 00 no room"]);
  reloads.begin("a request");
  reloads.postpone("a request", "no room");
  assert.deepEqual(shown(), ["waiting a request 00 no room"]);
  assert.deepEqual(reloads.status.last, last, "nothing has ended meanwhile");
  assert.deepEqual(reloads.inheritance, { succeeded: 0, failed: 1, last });
  // One that fails leaves it waiting; the end of an older generation begins it.
  reloads.begin("received SIGHUP");
  reloads.end("received SIGHUP", ["broken"]);
  assert.deepEqual(shown(), ["waiting a request 00 no room"]);
  reloads.resume();
  ask("fourth");
  assert.deepEqual(shown(), ["waiting a request 00"]);
  reloads.begin("a request");
  reloads.postpone("a request", "no room");
  // One that succeeds has read the same files.
  reloads.begin("received SIGHUP");
  reloads.end("received SIGHUP", []);
  assert.equal(shown(), undefined);
  assert.equal(reloads.status.last?.result, "succeeded");
});

test("after the end of reloads each request is answered with the reason", async () => {
  const { reloads, ask, answers } = results();
  ask("before");
  reloads.begin("received SIGHUP");
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
  first.begin("received SIGHUP");
  first.end("received SIGHUP", ["broken"]);
  const { reloads } = results(JSON.parse(JSON.stringify(first.inheritance)));
  assert.deepEqual(reloads.status, first.status);
  reloads.begin("received SIGHUP");
  reloads.end("received SIGHUP", []);
  assert.deepEqual([reloads.status.succeeded, reloads.status.failed], [1, 1]);
});
