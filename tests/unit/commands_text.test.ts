import assert from "node:assert/strict";
import { test } from "node:test";
import {
  bytesText,
  daysText,
  delayText,
  durationText,
  shortCount,
  timeText,
} from "../../src/commands/format.ts";
import { plain, plainJson } from "../../src/commands/plain.ts";
import { reloadResult } from "../../src/commands/reload_text.ts";
import { statusText } from "../../src/commands/status_text.ts";
import type { Status } from "../../src/status/status.ts";
import { certificate, statusDocument, worker } from "../support/small_status.ts";

/** Controls a terminal or the order of its text, or has no meaning: C0, DEL, C1, bidi, BOM, and so on. */
const HOSTILE = "\x1b[31m\x07\r\n\x7f\x9b2J\u202e\u2066\u2028\ufeff\u{e0001}\ud800\ue000\u0378";
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\u2028\u2029]/u;

test("no character of a stranger controls the terminal", () => {
  assert.doesNotMatch(plain(HOSTILE), UNSAFE);
  assert.equal(plain("a\x1b[2Jb\u202e"), "a\\u{1b}[2Jb\\u{202e}");
  assert.equal(plain("Zürich 東京 a.example"), "Zürich 東京 a.example");
  const json = plainJson({ [HOSTILE]: [HOSTILE, "ü"] });
  assert.doesNotMatch(json.replaceAll("\n", ""), UNSAFE);
  assert.deepEqual(JSON.parse(json), { [HOSTILE]: [HOSTILE, "ü"] });
  assert.match(json, /^\{\n {2}"/);
});

test("numbers and times are short and have units", () => {
  assert.deepEqual([0, 12, 9999, 10_000, 999_999, 1_234_567].map(shortCount), [
    "0",
    "12",
    "9,999",
    "10.0k",
    "1.00M",
    "1.23M",
  ]);
  assert.deepEqual([0, 1023, 1024, 1_047_999, 5e7, 3e13].map(bytesText), [
    "0 B",
    "1023 B",
    "1.00 KiB",
    "1023 KiB",
    "47.7 MiB",
    "27.3 TiB",
  ]);
  assert.deepEqual([0, 0.04217, 9.5, 59, 60, 3725, 90_000, 86_400 * 400, NaN].map(durationText), [
    "0 s",
    "0.042 s",
    "9.5 s",
    "59 s",
    "1 min",
    "1 h 2 min",
    "1 d 1 h",
    "400 d",
    "?",
  ]);
  assert.deepEqual([0, 0.0124, 2].map(delayText), ["0 ms", "12 ms", "2.0 s"]);
  assert.deepEqual([60, 1.9, 0.5, -0.5, -1.5].map(daysText), [
    "60 days",
    "1 day",
    "today",
    "ended today",
    "ended 1 day ago",
  ]);
  assert.equal(timeText("2026-11-30T12:00:00.123Z"), "2026-11-30 12:00:00 UTC");
  assert.equal(timeText("\x1b"), "\\u{1b}");
});

/** A service with many things of each kind, some of them wrong. */
function busy(): Status {
  return statusDocument({
    health: "degraded",
    problems: [
      {
        severity: "error",
        code: "backend-down",
        text: `Backend 127.0.0.1:8080 cannot be connected: Connection refused; ${
          "check it ".repeat(12)
        }`,
      },
      { severity: "warning", code: "certificate-expiring", text: "a.example ends in 3 days" },
    ],
    ready: { isReady: false, reason: "the backend cannot be connected" },
    backends: [{
      service: "default",
      address: "127.0.0.1:8080",
      state: "down",
      since: "2026-11-30T11:58:00.000Z",
      cause: "Connection refused",
    }],
    generations: [
      { number: 4, isCurrent: true, workers: 2, connections: 21 },
      { number: 3, isCurrent: false, workers: 1, connections: 3 },
    ],
    workers: Array.from({ length: 4 }, (_, i) => worker(i + 1, 5000 + i, i * 1000, i * 1_000_000)),
    certificates: {
      total: 1200,
      listed: Array.from(
        { length: 30 },
        (_, i) => certificate([1, 2, 3, 4, 5].map((n) => `n${n}.host-${i}.example.com`), i - 1),
      ),
    },
    failures: [{
      time: "2026-11-30T11:59:50.000Z",
      worker: 1,
      client: "192.0.2.1:4000",
      source: "client",
      code: "handshake",
      cause: "the client sent HTTP, not TLS",
    }],
    tickets: { keyAgeSeconds: 7200, source: "made by the master" },
  });
}

test("the status begins with what is wrong, then shows every part, in 80 columns", () => {
  const text = statusText(busy());
  for (const line of text.split("\n")) assert.ok(line.length <= 80, line);
  assert.match(
    text,
    /^stud is degraded, not ready: 1 error, 1 warning\n {2}not ready: the backend/,
  );
  const order = [
    "Problems",
    "  error backend-down: Backend 127.0.0.1:8080 cannot be connected: Connection",
    "  warning certificate-expiring: a.example ends in 3 days",
    "Configuration   /etc/stud/stud.conf",
    "In use since    2026-11-30 11:00:00 UTC (1 h), generation 4",
    "Draining        1 older generation with 3 connections",
    "Last reload     succeeded 1 h ago (received SIGHUP, 0.42 s)",
    "Reloads         3 succeeded, 1 failed",
    "Ticket keys     2 h old, made by the master",
    "Log level       1, 0 lines dropped",
    "    21   123,456  *:443",
    "  down   2 min  default  127.0.0.1:8080",
    "  default: Connection refused",
    "     4  5003           4  serving  3,000  3,000,000  57.2 MiB   2 ms",
    "  ended     ended today; n1.host-0.example.com",
    "  today     n1.host-1.example.com, n2.host-1.example.com, n3.host-1.example.com",
    "  and 1,190 more",
    "  10 s ago, 192.0.2.1:4000: client handshake: the client sent HTTP, not TLS",
  ];
  const lines = text.split("\n");
  const found = order.map((start) =>
    lines.findIndex((line) => line.startsWith(start.slice(0, 76)))
  );
  assert.deepEqual(found, found.toSorted((a, b) => a - b), text);
  assert.ok(!found.includes(-1), `${order[found.indexOf(-1)]}\n${text}`);
});

test("a service that is well has no heading without lines", () => {
  const text = statusText(statusDocument({
    backends: [],
    certificates: { total: 0, listed: [] },
    reloads: { succeeded: 0, failed: 0, isRunning: false },
  }));
  assert.match(text, /^stud is well\n/);
  assert.match(text, /^Last reload {5}none$/m);
  assert.doesNotMatch(text, /Problems|Backends|Certificates|failed connections|Ticket/);
});

test("reloads in progress come before the last result, which stays", () => {
  const time = "2026-03-01T12:00:12.000Z";
  const since = "2026-03-01T12:00:00.000Z";
  const cause = "received SIGHUP";
  const text = statusText(statusDocument({
    time,
    reloads: {
      ...{ succeeded: 0, failed: 1, isRunning: true },
      inProgress: [
        { state: "running", cause, since },
        { state: "waiting", cause, since: time, reason: "another reload is running" },
      ],
      last: { result: "failed", cause, finishedAt: since, seconds: 0.5, problems: ["broken"] },
    },
  }));
  assert.match(
    text,
    /^Reload {10}running for 12 s \(received SIGHUP\)\nReload {10}waiting for 0 s \(received SIGHUP\): another reload is running\nLast reload {5}failed 12 s ago \(received SIGHUP, 0\.5 s\)\n {16}broken$/m,
  );
});

test("no text of the document reaches the terminal as it is", () => {
  const hostile = (value: unknown): unknown => {
    if (typeof value === "string") return HOSTILE;
    if (Array.isArray(value)) return value.map(hostile);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, hostile(each)]));
  };
  const text = statusText(hostile(busy()) as Status);
  assert.doesNotMatch(text.replaceAll("\n", ""), UNSAFE);
});

test("the result of a reload is one line, and one for each problem", () => {
  const last = { cause: "a request", finishedAt: "", seconds: 0.5 };
  assert.deepEqual(reloadResult({ ...last, result: "succeeded", problems: [] }), [
    "reload succeeded in 0.5 s",
  ]);
  assert.deepEqual(reloadResult({ ...last, result: "failed", problems: ["a\nb", "c"] }), [
    "reload failed after 0.5 s; the former configuration stays in use",
    "  a\\u{a}b",
    "  c",
  ]);
});
