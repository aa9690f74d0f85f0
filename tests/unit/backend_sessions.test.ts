import { test } from "node:test";
import assert from "node:assert/strict";
import { BackendSessions } from "../../src/runtime/backend_sessions.ts";
import type { Endpoint } from "../../src/os/endpoint.ts";

const HOUR_MS = 3_600_000;
const BACKEND: Endpoint = { family: 4, address: "192.0.2.1", port: 443 };

test("each ticket of TLS 1.3 serves one connection while there are others", () => {
  const sessions = new BackendSessions(() => 0);
  visit(sessions, BACKEND, [1, 2, 3]);
  assert.deepEqual([1, 2, 3, 4].map(() => offered(sessions)), [3, 2, 1, 1]);
  const resumed = sessions.connect(BACKEND);
  resumed.accepted(true, Infinity);
  resumed.issued(Uint8Array.of(4), true);
  assert.deepEqual([1, 2, 3].map(() => offered(sessions)), [4, 1, 1]);
});

test("a session of TLS 1.2 serves all connections until there is another", () => {
  const sessions = new BackendSessions(() => 0);
  visit(sessions, BACKEND, [1, 2], { isSingleUse: false });
  assert.deepEqual([1, 2].map(() => offered(sessions)), [2, 2]);
});

test("a session is offered to the address that issued it only", () => {
  const sessions = new BackendSessions(() => 0);
  visit(sessions, BACKEND, [1]);
  const others: Endpoint[] = [
    { ...BACKEND, port: 444 },
    { ...BACKEND, address: "192.0.2.2" },
    { family: "unix", path: "/run/backend" },
  ];
  for (const other of others) assert.equal(offered(sessions, other), undefined);
  for (const [i, other] of others.entries()) visit(sessions, other, [10 + i]);
  for (const [i, other] of others.entries()) assert.equal(offered(sessions, other), 10 + i);
  assert.equal(offered(sessions), 1);
});

test("a session that the backend did not accept is not offered again", () => {
  for (const end of ["full handshake", "failure"]) {
    const sessions = new BackendSessions(() => 0);
    visit(sessions, BACKEND, [1]);
    const next = sessions.connect(BACKEND);
    assert.deepEqual(next.bytes, Uint8Array.of(1));
    if (end === "failure") next.failed();
    else next.accepted(false, Infinity);
    assert.equal(offered(sessions), undefined, end);
  }
});

test("a session that was issued before the backend was trusted is kept only if it is", () => {
  const sessions = new BackendSessions(() => 0);
  const refused = sessions.connect(BACKEND);
  refused.issued(Uint8Array.of(1), false);
  refused.failed();
  assert.equal(offered(sessions), undefined);
  const trusted = sessions.connect(BACKEND);
  trusted.issued(Uint8Array.of(2), false);
  assert.equal(offered(sessions), undefined);
  trusted.accepted(false, Infinity);
  assert.equal(offered(sessions), 2);
});

test("sessions rely on one verification for an hour, however often they are renewed", () => {
  let now = 5;
  const sessions = new BackendSessions(() => now);
  visit(sessions, BACKEND, [1]);
  for (now = 5; now < HOUR_MS; now += HOUR_MS / 10) {
    const next = sessions.connect(BACKEND);
    assert.ok(next.bytes);
    next.accepted(true, Infinity);
    next.issued(Uint8Array.of(2), true);
  }
  now = HOUR_MS + 5;
  assert.equal(offered(sessions), undefined);
});

test("no session outlives the backend's certificate", () => {
  let now = 0;
  const sessions = new BackendSessions(() => now);
  visit(sessions, BACKEND, [1], { expires: 1000 });
  now = 999;
  assert.equal(offered(sessions), 1);
  now = 1000;
  assert.equal(offered(sessions), undefined);
});

test("the number of sessions is bounded, and the newest are kept", () => {
  const sessions = new BackendSessions(() => 0);
  for (let port = 1; port <= 100; port++) {
    visit(sessions, { ...BACKEND, port }, Array.from({ length: 100 }, (_, i) => i));
  }
  let kept = 0;
  for (let port = 1; port <= 100; port++) {
    const taken = new Set<number>();
    for (let i = 0; i < 100; i++) {
      const number = offered(sessions, { ...BACKEND, port });
      if (number !== undefined) taken.add(number);
    }
    assert.deepEqual(
      [...taken],
      [99, 98, 97, 96, 95, 94, 93, 92, 91, 90, 89, 88, 87, 86, 85, 84]
        .slice(0, taken.size),
    );
    kept += taken.size;
  }
  assert.equal(kept, 64 * 16);
});

test("bytes are copied", () => {
  const sessions = new BackendSessions(() => 0);
  const bytes = Uint8Array.of(1);
  const session = sessions.connect(BACKEND);
  session.accepted(false, Infinity);
  session.issued(bytes, true);
  bytes[0] = 9;
  assert.equal(offered(sessions), 1);
});

/** A connection with a full handshake that gets these sessions, of one byte each. */
function visit(
  sessions: BackendSessions,
  backend: Endpoint,
  issued: readonly number[],
  { isSingleUse = true, expires = Infinity } = {},
): void {
  const session = sessions.connect(backend);
  session.accepted(false, expires);
  for (const number of issued) session.issued(Uint8Array.of(number), isSingleUse);
}

/** Returns the session that a connection offers now. */
function offered(sessions: BackendSessions, backend = BACKEND): number | undefined {
  return sessions.connect(backend).bytes?.[0];
}
