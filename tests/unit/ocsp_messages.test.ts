import { test } from "node:test";
import assert from "node:assert/strict";
import { MAX_FRAME_UP } from "../../src/control/channel.ts";
import { MAX_RESPONSE, parseOcspEvent } from "../../src/ocsp/messages.ts";

const entry = { level: "warn", event: "ocsp-failed", message: "no", facts: { certificate: "a" } };
const largest = Buffer.alloc(MAX_RESPONSE, 1).toString("base64");

test("the helper's events are parsed", () => {
  const reports = [
    { type: "staple", certificate: 2, response: "MAMKAQY=", until: 1_700_000_000_000 },
    { type: "staple", certificate: 0, response: largest },
    { type: "log", entry },
  ];
  for (const report of reports) assert.deepEqual(parseOcspEvent(report, 3), report);
});

test("the largest response fits into a frame", () => {
  const report = { type: "staple", certificate: 99_999, response: largest, until: Date.now() };
  assert.ok(JSON.stringify(report).length <= MAX_FRAME_UP);
});

test("the master passes on only what it has checked", () => {
  const report = { type: "staple", certificate: 0, response: "AAAA", certificates: [], x: 1 };
  assert.deepEqual(parseOcspEvent(report, 1), {
    type: "staple",
    certificate: 0,
    response: "AAAA",
  });
});

test("anything else is refused", () => {
  const staple = { type: "staple", certificate: 0, response: "AAAA" };
  const forged: unknown[] = [
    undefined,
    null,
    "staple",
    [],
    {},
    { type: "ready" },
    { type: "failed", message: "x" },
    { type: "log" },
    { type: "log", entry: { ...entry, level: "fatal" } },
    { ...staple, type: "drain" },
    { ...staple, certificate: 3 },
    { ...staple, certificate: -1 },
    { ...staple, certificate: 0.5 },
    { ...staple, certificate: "0" },
    { ...staple, response: "" },
    { ...staple, response: "AAA" },
    { ...staple, response: "AA\nA" },
    { ...staple, response: [1] },
    { ...staple, response: `${largest}AAAA` },
    { ...staple, until: "soon" },
    { ...staple, until: null },
    { ...staple, until: Infinity },
  ];
  for (const value of forged) {
    assert.equal(parseOcspEvent(value, 3), undefined, JSON.stringify(value));
  }
});
