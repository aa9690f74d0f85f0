import { test } from "node:test";
import assert from "node:assert/strict";
import type { CertificateFacts, CertificateSource } from "../../src/certificates/certificates.ts";
import type { LogEntry } from "../../src/base/log_entry.ts";
import {
  generationsStatus,
  ServedCertificates,
  stapleProblems,
  workersStatus,
} from "../../src/master/status.ts";
import { RecentEvents } from "../../src/master/recent_events.ts";
import type { Generations } from "../../src/master/workers/generations.ts";
import { readinessOf } from "../../src/service/status.ts";
import { RecentGrowth } from "../../src/service/recent_growth.ts";

const DAY = 86_400_000;
const NOW = Date.parse("2026-03-01T12:00:00Z");

function generation(number: number, states: readonly string[], open = 0) {
  const slots = states.map((state, i) => ({
    ...{ number: i + 1, isEmpty: state === "exited" },
    workers: () => [{ pid: number * 10 + i, state }],
  }));
  return { number, slots, open };
}

function generations(): Generations {
  const [current, older] = [
    generation(3, ["serving", "exited"], 5),
    generation(2, ["draining"], 7),
  ];
  return { current, living: [older, current] } as unknown as Generations;
}

test("the current generation comes first, with its workers and connections", () => {
  assert.deepEqual(generationsStatus(generations()), [
    { number: 3, isCurrent: true, workers: 1, connections: 5 },
    { number: 2, isCurrent: false, workers: 1, connections: 7 },
  ]);
});

test("workers are ordered by slot, those of the current generation first", () => {
  const found = workersStatus(generations());
  assert.deepEqual(found.map(({ slot, generation, state }) => [slot, generation, state]), [
    [1, 3, "serving"],
    [1, 2, "draining"],
    [2, 3, "exited"],
  ]);
});

function source(path: string, days: number, more: Partial<CertificateFacts> = {}) {
  const facts: CertificateFacts = {
    ...{ names: [`${path}.example`], issuer: "An authority", key: "ECDSA P-256" },
    ...{
      mustStaple: false,
      shortIssuers: [],
      validFrom: NOW - 10 * DAY,
      validTo: NOW + days * DAY,
    },
    ...more,
  };
  return { file: { cert: path }, facts, chain: () => "" } as unknown as CertificateSource;
}

function served(
  sources: readonly CertificateSource[],
  frontends: readonly { own: number[]; global: number[] }[] = [
    { own: [], global: sources.map((_, i) => i) },
  ],
): ServedCertificates {
  const config = {
    frontends: frontends.map((_, i) => ({ listen: { host: "*", port: 443 + i } })),
  };
  return new ServedCertificates(
    { sources, tls: { frontends }, config } as unknown as ConstructorParameters<
      typeof ServedCertificates
    >[0],
  );
}

test("certificates are listed by their ends, with place, days, key, issuer and frontend", () => {
  const sources = [source("far", 80.5), source("ended", -1.5), source("own", 3)];
  const { total, listed } = served(sources, [
    { own: [], global: [0, 1] },
    { own: [2], global: [0, 1] },
    { own: [2, 2], global: [0, 1] },
  ]).status([{ certificate: 0, from: NOW - 90_000 }], NOW);
  assert.equal(total, 3);
  assert.deepEqual(listed[0], {
    names: ["ended.example"],
    place: "ended",
    notBefore: "2026-02-19T12:00:00.000Z",
    notAfter: "2026-02-28T00:00:00.000Z",
    daysLeft: -2,
    key: "ECDSA P-256",
    issuer: "An authority",
  });
  assert.deepEqual(listed.map(({ stapleAgeSeconds }) => stapleAgeSeconds), [
    ...[undefined, undefined, 90],
  ]);
  assert.deepEqual(listed.map(({ place, daysLeft, frontend }) => [place, daysLeft, frontend]), [
    ["ended", -2, undefined],
    ["own", 3, "*:444, *:445"],
    ["far", 80, undefined],
  ]);
});

test("of thousands of certificates the first thousand are listed, and all are counted", () => {
  const names = Array.from({ length: 150 }, (_, i) => `${i}.example`);
  const sources = Array.from(
    { length: 20_000 },
    (_, i) => source(`${i}`, (i * 7919) % 20_000 / 100, { names }),
  );
  const certificates = served(sources);
  const { total, listed } = certificates.status([], NOW);
  assert.equal(total, 20_000);
  assert.equal(listed.length, 1000);
  assert.equal(listed[0]!.names.length, 100);
  const days = listed.map(({ daysLeft }) => daysLeft);
  assert.deepEqual(days, [...days].sort((a, b) => a - b));
  assert.equal(days.at(-1), 9);
});

test("a failed connection is shown on one line for each member, whatever a worker sends", () => {
  const facts = {
    ...{ worker: 2, client: "192.0.2.9:4000", source: "client", code: "handshake-failed" },
    cause: "a\nb\u001b[31m",
  };
  const entry = { level: "warn", event: "connection-failed", message: "", facts } as const;
  const shown = (each: LogEntry) => {
    const recent = new RecentEvents();
    recent.add(each, NOW);
    return recent.failures[0];
  };
  assert.deepEqual(shown(entry), {
    ...{ time: "2026-03-01T12:00:00.000Z", worker: 2, client: "192.0.2.9:4000" },
    ...{ source: "client", code: "handshake-failed", cause: String.raw`a\x0ab\x1b[31m` },
  });
  const long = { ...facts, cause: "x".repeat(60_000) };
  assert.equal(shown({ ...entry, facts: long })!.cause.length, 1000);
  assert.equal(shown({ ...entry, event: "connection-closed" }), undefined);
  assert.equal(shown({ ...entry, facts: { ...entry.facts, worker: "x" } })!.worker, 0);
});

test("a must-staple certificate without a valid response is a problem", () => {
  const sources = [
    source("none", 9, { mustStaple: true }),
    source("plain", 9),
    source("valid", 9, { mustStaple: true }),
    source("old", 9, { mustStaple: true }),
    source("endless", 9, { mustStaple: true }),
  ];
  const staples = [
    { certificate: 2, until: NOW + 1 },
    { certificate: 3, until: NOW },
    { certificate: 4 },
  ];
  const found = stapleProblems(sources, staples, NOW);
  assert.deepEqual(found.map(({ code, text }) => `${code} ${text.split(":")[0]}`), [
    "staple-missing none",
    "staple-missing old",
  ]);
});

test("of each worker the last limit of the last minute is shown, on one line", () => {
  const recent = new RecentEvents();
  const reached = (worker: number, message: string, at: number) =>
    recent.add({ level: "warn", event: "connection-limit", message, facts: { worker } }, at);
  reached(1, "first", NOW);
  reached(1, "second", NOW + 1000);
  reached(2, "other\n", NOW + 2000);
  assert.deepEqual(recent.limits(NOW + 3000), ["worker 2: other\\x0a", "worker 1: second"]);
  assert.deepEqual(recent.limits(NOW + 61_500), ["worker 2: other\\x0a"]);
});

test("readiness has a reason if there is none", () => {
  const serving = { isServing: true, backendProbe: undefined };
  const state = { isStopping: false, isReplaced: false, master: serving };
  const ready = (changes: object, needsBackend = false) =>
    readinessOf({ ...state, ...changes }, needsBackend);
  const probed = (backendProbe: unknown) => ({ master: { ...serving, backendProbe } });
  assert.deepEqual(ready({}), { isReady: true });
  assert.deepEqual(ready(probed({ isUp: false, cause: "no" })), { isReady: true });
  assert.deepEqual(ready(probed({ isUp: true }), true), { isReady: true });
  const reasons: [object, boolean, RegExp][] = [
    [{ isStopping: true }, false, /^stud is stopping$/],
    [{ isReplaced: true }, false, /^another process has taken over$/],
    [{ master: { ...serving, isServing: false } }, false, /^no worker accepts connections$/],
    [{}, true, /^the backend has not been tried yet$/],
    [probed({ isUp: false, cause: "Connection refused" }), true, /: Connection refused$/],
  ];
  for (const [changes, needsBackend, reason] of reasons) {
    const { isReady, reason: found } = ready(changes, needsBackend);
    assert.equal(isReady, false);
    assert.match(found!, reason);
  }
});

test("a count is of interest for ten minutes after it has grown", () => {
  const growth = new RecentGrowth();
  assert.equal(growth.lately(0, NOW), 0);
  assert.equal(growth.lately(5, NOW + 1000), 5);
  assert.equal(growth.lately(5, NOW + 600_000), 5);
  assert.equal(growth.lately(5, NOW + 602_000), 0);
  assert.equal(growth.lately(6, NOW + 602_000), 6);
});

test("a count that a predecessor has left is no growth", () => {
  const growth = new RecentGrowth();
  assert.equal(growth.lately(1000, NOW), 0);
  assert.equal(growth.lately(1001, NOW + 1000), 1001);
});
