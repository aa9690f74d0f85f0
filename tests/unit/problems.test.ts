import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PROBLEM_CODES, type ProblemFacts, problemsOf } from "../../src/status/problems.ts";
import { root } from "../support/target.ts";
import type { ReloadInProgress, ReloadStatus, WorkerStatus } from "../../src/status/status.ts";

const NOW = Date.parse("2026-03-01T12:00:00Z");

function worker(slot: number, changes: Partial<WorkerStatus> = {}): WorkerStatus {
  return {
    ...{ slot, pid: 100 + slot, generation: 3, state: "serving", startedAt: iso(-3_600_000) },
    ...{ connections: 0, accepted: 0, residentBytes: 0, eventLoopDelaySeconds: 0 },
    ...changes,
  };
}

/** A service without problems, except for these facts. */
function facts(changes: Partial<ProblemFacts> = {}): ProblemFacts {
  return {
    now: NOW,
    backends: [{ service: "default", address: "192.0.2.3:80", state: "up", since: iso(-1000) }],
    generations: [{ number: 3, isCurrent: true, workers: 2, connections: 7 }],
    reloads: { succeeded: 2, failed: 0, isRunning: false },
    workers: [worker(1), worker(2)],
    ...{ certificates: [], crashes: [], limits: [], upgradeFailure: [], lostLines: 0 },
    ...{ maxGenerations: 10, maxConnections: Infinity },
    ...changes,
  };
}

function iso(after: number): string {
  return new Date(NOW + after).toISOString();
}

function reload(result: ReloadStatus["result"], problems: readonly string[]) {
  const last = { result, cause: "received SIGHUP", finishedAt: iso(0), seconds: 1, problems };
  return { succeeded: 0, failed: 0, isRunning: false, last };
}

const waiting: ReloadInProgress = {
  ...{ state: "waiting", cause: "received SIGHUP", since: iso(-1000) },
  ...{ reason: "the reload waits until …", waitsForRoom: true },
};
const { waitsForRoom: _, ...otherWait } = waiting;
const older = { number: 2, isCurrent: false, workers: 2, connections: 4212 };
const [current] = facts().generations;

/** A name, the facts, and what is reported: severity, code and a part of the text. */
const cases: readonly [string, Partial<ProblemFacts>, ...(readonly [string, string, RegExp])[]][] =
  [
    ["nothing is wrong", {}],
    ["a backend that was not connected yet", {
      backends: [{ service: "default", address: "192.0.2.3:80", state: "unknown" }],
    }],
    ["a backend that is down", {
      backends: [{
        ...{ service: "default", address: "192.0.2.3:80", state: "down", since: iso(-7_200_000) },
        cause: "backend-refused: connection refused",
      }],
    }, [
      "error",
      "backend-down",
      /^the backend 192\.0\.2\.3:80 cannot be connected since 2026-03-01T10:00:00Z \(120 min\): backend-refused: connection refused; .*check/,
    ]],
    ["a name that cannot be resolved", { unresolved: "--backend: cannot resolve b.example" }, [
      "warning",
      "backend-unresolved",
      /cannot resolve b\.example; its last address stays in use/,
    ]],
    [
      "a failed reload",
      { reloads: reload("failed", ["a.pem: it is empty", "b.pem: it is empty"]) },
      [
        "error",
        "reload-failed",
        /^the last reload failed \(received SIGHUP, 2026-.*\), .*: a\.pem: it is empty \(and 1 more, in the log\); correct it, then reload$/,
      ],
    ],
    ["a successful reload", { reloads: reload("succeeded", []) }],
    [
      "a reload that waits, after one that failed",
      { reloads: { ...reload("failed", ["broken"]), inProgress: [waiting] } },
      ["error", "reload-failed", /: broken; correct it, then reload$/],
      ["warning", "reload-waits", /^the reload waits until …$/],
    ],
    ["a reload that waits for another one only", {
      reloads: { ...reload("succeeded", []), inProgress: [otherWait] },
    }],
    ["a failed upgrade", { upgradeFailure: ["it exited with status 1"] }, [
      "warning",
      "upgrade-failed",
      /: it exited with status 1; correct it, then send SIGUSR2 again$/,
    ]],
    ["a worker that was killed and replaced", {
      crashes: [{ worker: 2, count: 1, exit: "signal SIGKILL" }],
    }, ["warning", "worker-exited", /^worker 2 has exited \(signal SIGKILL\)/]],
    ["a worker that crashes again and again", {
      crashes: [{ worker: 2, count: 1200, exit: "status 1" }],
      workers: [worker(1), worker(2, { state: "exited", pid: 0 })],
    }, ["error", "worker-crashing", /^worker 2 exits again and again, 1,200 times .*status 1\)/]],
    ["a worker that cannot be started", {
      workers: [worker(1), worker(2, { state: "exited", pid: 0 })],
    }, ["error", "worker-missing", /^worker 2 could not be started/]],
    ["a silent worker", { workers: [worker(1), worker(2, { state: "silent" })] }, [
      "error",
      "worker-silent",
      /^worker 2 \(pid 102\) does not answer; .*--watchdog/,
    ]],
    ["a worker that is starting", {
      workers: [worker(1), worker(2, { state: "starting", startedAt: iso(-9000) })],
    }],
    ["a worker that starts slowly", {
      workers: [worker(1), worker(2, { state: "starting", startedAt: iso(-11_000) })],
    }, ["warning", "worker-starting", /^worker 2 has been starting for 11 s$/]],
    ["no worker of the current generation that serves", {
      generations: [current!, older],
      workers: [worker(1, { state: "starting", startedAt: iso(0) }), worker(1, { generation: 2 })],
    }, ["error", "not-serving", /^no worker accepts connections/]],
    ["all connections open", { maxConnections: 7, limits: ["worker 1: reached"] }, [
      "warning",
      "connection-limit",
      /^all 7 connections of --max-connections are open, so new clients wait/,
    ]],
    ["a limit that a worker has reached", { maxConnections: 8, limits: ["worker 1: reached it"] }, [
      "warning",
      "connection-limit",
      /^worker 1: reached it$/,
    ]],
    ["an older generation", { generations: [current!, older] }],
    ["as many generations as allowed", { maxGenerations: 2, generations: [current!, older] }, [
      "warning",
      "generation-limit",
      /^2 generations of workers are alive, .* have 4,212 connections: set --reload-drain-timeout/,
    ]],
    ["lost log lines", { lostLines: 1500 }, [
      "warning",
      "log-dropped",
      /^1,500 log lines were lost/,
    ]],
  ];

for (const [name, changes, ...expected] of cases) {
  test(`problems: ${name}`, () => {
    const found = problemsOf(facts(changes));
    assert.deepEqual(
      found.map(({ severity, code }) => [severity, code]),
      expected.map(([severity, code]) => [severity, code]),
    );
    for (const [i, { text }] of found.entries()) {
      assert.match(text, expected[i]![2]);
      assert.doesNotMatch(text, /\n/);
    }
  });
}

test("problems: errors come before warnings", () => {
  const found = problemsOf(facts({
    ...{ crashes: [{ worker: 1, count: 1, exit: "status 1" }], lostLines: 1 },
    certificates: [
      { severity: "error", code: "certificate-expired", text: "a" },
      { severity: "warning", code: "certificate-ends-soon", text: "b" },
    ],
    reloads: reload("failed", ["broken"]),
    workers: [worker(1, { state: "silent" })],
  }));
  assert.deepEqual(found.map(({ code }) => code), [
    ...["not-serving", "reload-failed", "certificate-expired", "worker-silent"],
    ...["certificate-ends-soon", "worker-exited", "log-dropped"],
  ]);
});

test("docs/status.md has every code of a problem once, with its severities, and no other", () => {
  const page = readFileSync(join(root, "docs/status.md"), "utf8");
  const rows = [...page.matchAll(/^\| `([a-z-]+)` +\| (error|warning) +\|/gm)];
  assert.deepEqual(rows.map(([, code]) => code!).sort(), [...PROBLEM_CODES].sort());
  const documented = new Map(rows.map(([, code, severity]) => [code!, severity!]));
  const tested = cases.flatMap(([, , ...expected]) => expected);
  for (const [severity, code] of tested) assert.equal(severity, documented.get(code), code);
});
