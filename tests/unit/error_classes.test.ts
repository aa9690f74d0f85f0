import { test } from "node:test";
import assert from "node:assert/strict";
import { ERROR_CLASSES, isQuiet, LOUD, QUIET_CODES } from "../../src/base/error_classes.ts";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { FAILURE_CODES, FAILURE_SOURCES } from "../../src/connection/failure.ts";
import { errorClasses, ValueError } from "../../src/options/values.ts";

function entry(source: string, code: string): LogEntry {
  return { level: "warn", event: "connection-failed", message: "", facts: { source, code } };
}

test("every code of a failure can be silenced alone, apart from internal ones", () => {
  assert.deepEqual([...QUIET_CODES, ...LOUD.slice(1)].sort(), [...FAILURE_CODES].sort());
  assert.deepEqual(
    FAILURE_SOURCES.filter((source) => !ERROR_CLASSES.includes(source)),
    ["internal"],
  );
});

test("a class silences its errors, and no others", () => {
  const cases = [
    ["client", entry("client", "client-reset"), entry("backend", "backend-reset")],
    ["backend", entry("backend", "tls-error"), entry("client", "tls-error")],
    ["handshake", entry("client", "client-certificate"), entry("client", "client-reset")],
    ["handshake", entry("backend", "backend-handshake"), entry("backend", "backend-refused")],
    ["health-check", entry("client", "client-left"), entry("client", "handshake-failed")],
    ["limit", entry("limit", "lifetime"), entry("client", "handshake-failed")],
    ["limit", entry("client", "source-rate"), entry("client", "proxy-header")],
    ["client-reset", entry("client", "client-reset"), entry("client", "client-truncated")],
  ] as const;
  for (const [name, silenced, logged] of cases) {
    assert.deepEqual([isQuiet([name], silenced), isQuiet([name], logged)], [true, false], name);
    assert.ok(isQuiet(["proxy", name], silenced), name);
  }
});

test("nothing silences an internal error, or an event that is no error", () => {
  assert.ok(!isQuiet(ERROR_CLASSES, entry("internal", "backend-no-ports")));
  assert.ok(!isQuiet(QUIET_CODES, entry("internal", "handshake-failed")));
  assert.ok(!isQuiet(ERROR_CLASSES, { level: "info", event: "ready", message: "", facts: {} }));
});

test("the end of an outage is silenced with its begin", () => {
  const recovered = { level: "info", event: "backend-recovered", message: "", facts: {} } as const;
  assert.deepEqual(["backend", "outage", "client"].map((name) => isQuiet([name], recovered)), [
    ...[true, true, false],
  ]);
});

test("that the backend's name resolves again is silenced with that it did not", () => {
  const resolved = { level: "info", event: "backend-resolved", message: "", facts: {} } as const;
  assert.deepEqual(["backend", "outage", "client"].map((name) => isQuiet([name], resolved)), [
    ...[true, false, false],
  ]);
});

test("a summary is silenced with the errors that it counts", () => {
  const summary: LogEntry = { ...entry("client", "client-reset"), event: "events-repeated" };
  assert.deepEqual(
    ["client", "lost", "client-reset", "backend"].map((n) => isQuiet([n], summary)),
    [
      ...[true, true, true, false],
    ],
  );
});

test("a list of classes and codes is parsed, and what is wrong in it is named", () => {
  assert.deepEqual(errorClasses(" handshake, client-reset handshake"), [
    ...["handshake", "client-reset"],
  ]);
  assert.deepEqual(errorClasses(""), []);
  const cases: [string, RegExp][] = [
    ["handshakes", /^"handshakes" is not a class of errors; did you mean handshake\?; use any of /],
    ["everything", /^"everything" is not a class of errors; use any of client, backend, /],
    ["client,internal", /^internal cannot be silenced/],
  ];
  for (const [text, expected] of cases) {
    assert.throws(
      () => errorClasses(text),
      (error) => error instanceof ValueError && expected.test(error.message),
    );
  }
});
