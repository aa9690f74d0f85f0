import { test } from "node:test";
import assert from "node:assert/strict";
import type { LogEntry } from "../../src/base/log_entry.ts";
import {
  CertificateDates,
  type Dated,
  dateProblems,
  daysUntil,
  logDates,
} from "../../src/certificates/dates.ts";

const DAY = 86_400_000;
const HOUR = 3_600_000;
const NOW = Date.parse("2026-03-01T12:00:00Z");

/** A certificate that ends `days` from now. */
function dated(
  place: string,
  days: number,
  { names = [`${place}.example`], from = -90 } = {},
): Dated {
  return { place, names, validFrom: NOW + from * DAY, validTo: NOW + days * DAY };
}

function texts(certificates: readonly Dated[], days = 21): string[] {
  return dateProblems(certificates, days, NOW).map(({ text }) => text);
}

test("a line names the file, the names, the time that is left and the remedy", () => {
  const many = ["a.example", "*.a.example", "b.example", "c.example", "d.example"];
  assert.deepEqual(
    texts([
      dated("soon", 20.5),
      dated("ended", -3.2, { names: many }),
      dated("future", 90, { from: 2 }),
      dated("far", 21.1),
      dated("hours", 40 / 24),
      dated("hour", 1.5 / 24, { names: [] }),
      dated("now", -0.5 / 24),
    ]),
    [
      "ended: the certificate for a.example, *.a.example, b.example and 2 more expired 3 days " +
      "ago, on 2026-02-26T07:12:00Z; renew it, then reload",
      "now: the certificate for now.example expired just now, on 2026-03-01T11:30:00Z; renew it, " +
      "then reload",
      "hour: the certificate ends in 1 hour, on 2026-03-01T13:30:00Z; renew it, then reload",
      "hours: the certificate for hours.example ends in 40 hours, on 2026-03-03T04:00:00Z; renew " +
      "it, then reload",
      "soon: the certificate for soon.example ends in 20 days, on 2026-03-22T00:00:00Z; renew it, " +
      "then reload",
      "future: the certificate for future.example is valid only from 2026-03-03T12:00:00Z; check " +
      "this machine's clock, or use another certificate until then, and reload",
    ],
  );
});

test("codes and severities are for programs", () => {
  const found = dateProblems(
    [dated("soon", 5), dated("ended", -1), dated("future", 90, { from: 2 })],
    21,
    NOW,
  );
  assert.deepEqual(found.map(({ severity, code, place }) => [severity, code, place]), [
    ["error", "certificate-expired", "ended"],
    ["warning", "certificate-ends-soon", "soon"],
    ["error", "certificate-not-yet-valid", "future"],
  ]);
});

test("with 0 days only certificates that cannot be used are reported", () => {
  const all = [dated("soon", 0.1), dated("ended", -1), dated("future", 9, { from: 2 })];
  const found = dateProblems(all, 0, NOW);
  assert.deepEqual(found.map(({ place }) => place), ["ended", "future"]);
});

test("the first twenty are named, the others counted", () => {
  const some = (count: number, days: number) =>
    Array.from({ length: count }, (_, i) => dated(`c${i}`, days + i / 1e6));
  assert.equal(texts(some(20, 5)).length, 20);
  assert.match(texts(some(21, 5)).at(-1)!, /^c20: the certificate for c20\.example ends in 5 days/);
  const found = texts([...some(1500, -1), ...some(2, 5)]);
  assert.deepEqual(found.slice(20), [
    "1,480 more certificates have expired; renew them, then reload",
    "2 more certificates end soon; renew them, then reload",
  ]);
});

test("days until a time are whole, and negative once it has passed", () => {
  const days = [0, HOUR, DAY, 2.9 * DAY, -1, -DAY].map((after) => daysUntil(NOW + after, NOW));
  assert.deepEqual(days, [0, 0, 1, 2, -1, -1]);
});

function watched(certificates: readonly Dated[], days = 21) {
  const logged: LogEntry[] = [];
  const dates = new CertificateDates((entry) => logged.push(entry));
  dates.use(certificates, days, NOW);
  const lines = () =>
    logged.splice(0).map(({ level, event, facts }) => `${level} ${event} ${facts.file}`);
  return { dates, lines };
}

test("the end of a certificate is an error once", () => {
  const { dates, lines } = watched([dated("b", 0.2), dated("a", 0.1), dated("ended", -1)], 0);
  dates.check(NOW + 1000);
  assert.deepEqual(lines(), []);
  for (const hours of [2.5, 2.6, 3]) dates.check(NOW + hours * HOUR);
  assert.deepEqual(lines(), ["error certificate-expired a"]);
  for (const hours of [5, 6, 20]) dates.check(NOW + hours * HOUR);
  assert.deepEqual(lines(), ["error certificate-expired b"]);
});

test("a certificate that ends soon is warned of once a day, and those that have expired", () => {
  const { dates, lines } = watched([dated("soon", 2.5), dated("later", 22.5), dated("far", 60)]);
  for (let second = 0; second < 3 * 86_400; second += 100) dates.check(NOW + second * 1000);
  assert.deepEqual(lines(), [
    "warn certificate-ends-soon soon",
    "warn certificate-ends-soon soon",
    "warn certificate-ends-soon later",
    "error certificate-expired soon",
  ]);
  dates.check(NOW + 3 * DAY);
  assert.deepEqual(lines(), ["warn certificate-expired soon", "warn certificate-ends-soon later"]);
});

test("an end that is found in the daily check is logged once", () => {
  const { dates, lines } = watched([dated("soon", 0.5), dated("other", 5)]);
  // The machine was suspended.
  dates.check(NOW + 1.5 * DAY);
  assert.deepEqual(lines(), ["error certificate-expired soon", "warn certificate-ends-soon other"]);
});

test("the end of an intermediate certificate hides no warning of the certificate in its file", () => {
  const issuer = { ...dated("a", 0.5), names: [], issuer: { name: "R3", files: 1 } };
  const { dates, lines } = watched([issuer, dated("a", 5)]);
  dates.check(NOW + 1.5 * DAY);
  assert.deepEqual(lines(), ["error certificate-expired a", "warn certificate-ends-soon a"]);
});

test("a clock that is set back delays the next warning by a day at most", () => {
  const { dates, lines } = watched([dated("soon", 5)]);
  dates.check(NOW - 300 * DAY);
  dates.check(NOW - 299.5 * DAY);
  assert.deepEqual(lines(), []);
  // By this clock it is not valid yet.
  dates.check(NOW - 299 * DAY);
  assert.deepEqual(lines(), ["warn certificate-not-yet-valid soon"]);
});

test("certificates of a new configuration are not reported as having just ended", () => {
  const { dates, lines } = watched([dated("a", 5)]);
  dates.use([dated("ended", -1), dated("b", 8)], 21, NOW);
  dates.check(NOW + HOUR);
  assert.deepEqual(lines(), []);
  assert.deepEqual(dates.problems(NOW).map(({ place }) => place), ["ended", "b"]);
});

test("problems at a start are warnings, with the file as a fact", () => {
  const logged: LogEntry[] = [];
  logDates((entry) => logged.push(entry), dateProblems([dated("a", -1)], 21, NOW));
  assert.deepEqual(logged, [{
    level: "warn",
    event: "certificate-expired",
    message: "a: the certificate for a.example expired 24 hours ago, on 2026-02-28T12:00:00Z; " +
      "renew it, then reload",
    facts: { file: "a" },
  }]);
});
