/** Sessions in the master, and how workers ask for them. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { parseWorkerEvent } from "../../src/worker_protocol/messages.ts";
import type { SessionEvent } from "../../src/sessions/messages.ts";
import { SessionCache } from "../../src/sessions/session_cache.ts";
import { SharedSessions } from "../../src/sessions/shared_sessions.ts";
import { HandClock } from "../support/hand_clock.ts";

const policy = randomBytes(32).toString("base64");
const other = randomBytes(32).toString("base64");
const named = (id: string) => ({ policy, id });

function cacheOf(most: number) {
  const clock = new HandClock();
  const cache = new SessionCache(clock);
  cache.resize(most);
  return { clock, cache };
}

test("a session is found under its own policy only", () => {
  const { cache } = cacheOf(10);
  cache.store(named("a"), "session", 60);
  assert.equal(cache.find(named("a")), "session");
  assert.equal(cache.find({ policy: other, id: "a" }), undefined);
  assert.equal(cache.find(named("b")), undefined);
});

test("a session that is stored again counts once and is the new one", () => {
  const { cache } = cacheOf(2);
  cache.store(named("a"), "first", 60);
  cache.store(named("b"), "b", 60);
  cache.store(named("a"), "second", 60);
  assert.equal(cache.size, 2);
  assert.equal(cache.find(named("a")), "second");
});

test("beyond the size, the session unused for the longest time is evicted", () => {
  const { cache } = cacheOf(2);
  cache.store(named("a"), "a", 60);
  cache.store(named("b"), "b", 60);
  cache.find(named("a"));
  cache.store(named("c"), "c", 60);
  assert.equal(cache.find(named("b")), undefined);
  assert.equal(cache.find(named("a")), "a");
  assert.equal(cache.find(named("c")), "c");
});

test("a large session counts as several", () => {
  const { cache } = cacheOf(4);
  const large = "x".repeat(4000);
  for (const id of ["a", "b", "c"]) cache.store(named(id), large, 60);
  assert.equal(cache.size, 2);
  cache.store(named("d"), "x".repeat(10_000), 60);
  assert.equal(cache.size, 0, "one that is larger than all together is not kept");
  for (const id of ["a", "b", "c", "d", "e"]) cache.store(named(id), "x".repeat(2048), 60);
  assert.equal(cache.size, 4, "what went is no longer counted");
});

test("a smaller size applies at once, and 0 keeps nothing", () => {
  const { cache } = cacheOf(3);
  for (const id of ["a", "b", "c"]) cache.store(named(id), id, 60);
  cache.resize(1);
  assert.equal(cache.size, 1);
  assert.equal(cache.find(named("c")), "c");
  cache.resize(0);
  cache.store(named("a"), "a", 60);
  assert.equal(cache.size, 0);
});

test("a session expires, whether it is looked up or not", () => {
  const { cache, clock } = cacheOf(10);
  cache.store(named("a"), "a", 10);
  cache.store(named("b"), "b", 10);
  clock.advance(9_999);
  assert.equal(cache.find(named("a")), "a");
  clock.advance(1);
  assert.equal(cache.find(named("a")), undefined, "to be found made it no younger");
  assert.equal(cache.size, 1);
  cache.sweep();
  assert.equal(cache.size, 0);
});

test("an expired session behind a younger one is removed with that one", () => {
  const { cache, clock } = cacheOf(10);
  cache.store(named("old"), "a", 10);
  clock.advance(5_000);
  cache.store(named("young"), "b", 10);
  cache.find(named("old"));
  clock.advance(5_000);
  cache.sweep();
  assert.equal(cache.size, 2);
  clock.advance(5_000);
  cache.sweep();
  assert.equal(cache.size, 0);
});

function asking({ keepsUp = true } = {}) {
  const clock = new HandClock();
  const reports: SessionEvent[] = [];
  const sessions = new SharedSessions((report) => {
    if (keepsUp) reports.push(report);
    return keepsUp;
  }, clock);
  const answers: (string | undefined)[] = [];
  const find = () =>
    sessions.find(policy, Buffer.from("id"), (found) => answers.push(found && String(found)));
  return { clock, reports, sessions, answers, find };
}

test("a worker's lookups and sessions are events that the master accepts", () => {
  const { reports, sessions, find } = asking();
  find();
  // A part of a larger buffer, as OpenSSL's side hands it over.
  sessions.store(policy, Buffer.from("xidx").subarray(1, 3), Buffer.from("session"));
  assert.equal(reports.length, 2);
  for (const report of reports) {
    assert.deepEqual(parseWorkerEvent(JSON.parse(JSON.stringify(report))), report);
    assert.equal(report.id, "aWQ=");
  }
});

test("each lookup has its own answer, and only one", () => {
  const { reports, sessions, answers, find } = asking();
  find();
  find();
  const [first, second] = reports.map((report) => "number" in report ? report.number : -1);
  const session = Buffer.from("session").toString("base64");
  sessions.found({ type: "session-found", number: second!, session });
  sessions.found({ type: "session-found", number: second!, session });
  assert.deepEqual(answers, ["session"]);
  sessions.found({ type: "session-found", number: first! });
  assert.deepEqual(answers, ["session", undefined]);
});

test("a lookup without an answer costs its client a second, and a late answer is ignored", () => {
  const { clock, sessions, answers, find } = asking();
  find();
  clock.advance(999);
  assert.equal(answers.length, 0);
  clock.advance(1);
  assert.deepEqual(answers, [undefined]);
  sessions.found({ type: "session-found", number: 0, session: "AAAA" });
  assert.equal(answers.length, 1);
});

test("a master that does not keep up is not waited for", () => {
  const { answers, find } = asking({ keepsUp: false });
  find();
  assert.deepEqual(answers, [undefined]);
});

test("beyond a thousand pending lookups no client waits", () => {
  const { answers, reports, clock, find } = asking();
  for (let i = 0; i < 1024; i++) find();
  assert.equal(answers.length, 0);
  find();
  assert.equal(answers.length, 1);
  assert.equal(reports.length, 1024);
  clock.advance(1000);
  assert.equal(answers.length, 1025);
  find();
  assert.equal(reports.length, 1025);
});

test("a session that is too large to keep is not even sent", () => {
  const { reports, sessions } = asking();
  sessions.store(policy, Buffer.from("id"), Buffer.alloc(4097));
  assert.deepEqual(reports, []);
  sessions.store(policy, Buffer.from("id"), Buffer.alloc(4096));
  assert.deepEqual(parseWorkerEvent(reports[0]), reports[0]);
});

test("malformed session events are refused", () => {
  const base64 = (length: number) => Buffer.alloc(length, 1).toString("base64");
  const made = { type: "session-made", policy, id: base64(32), session: base64(4096) };
  const wanted = { type: "session-wanted", policy, id: base64(1), number: 0 };
  assert.deepEqual(parseWorkerEvent({ ...made, more: 1 }), made);
  assert.deepEqual(parseWorkerEvent({ ...wanted, more: 1 }), wanted);
  const changes: Record<string, readonly unknown[]> = {
    policy: [undefined, 1, "", "policy", base64(31), base64(33), `${policy} `],
    id: [undefined, {}, "", base64(33), "====", "a", "aWQ", "aWR=", "\n"],
    session: [undefined, [], "", base64(4097), "x".repeat(1_000_000)],
    number: [undefined, "0", 1.5, NaN, 2 ** 60],
  };
  for (const report of [made, wanted]) {
    for (const [name, values] of Object.entries(changes)) {
      if (!(name in report)) continue;
      for (const value of values) {
        assert.equal(
          parseWorkerEvent({ ...report, [name]: value }),
          undefined,
          `${name}: ${value}`,
        );
      }
    }
  }
});
