/**
 * What a fault of the core costs: the contract of src/runtime/ (see `Runtime`), run against the
 * runtime's adapter. The faults happen in a separate process, whose `uncaughtException` is not the
 * test runner's.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import * as runtime from "#runtime";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { Outcome } from "../support/fault_child.ts";

const { name: adapter, capabilities, self }: Runtime = runtime;
const limit = { timeout: 120_000 };

const child = fileURLToPath(new URL("../support/fault_child.ts", import.meta.url));
const [command, ...words] = [...self.slice(0, -1), child];
const { status, stdout, stderr } = spawnSync(command!, words, {
  encoding: "utf8",
  timeout: 100_000,
  env: { ...process.env, NO_COLOR: "1" },
});
const outcomes: readonly Outcome[] = stdout.split("\n").filter((line) => line !== "")
  .map((line) => JSON.parse(line));

const kinds = ["tls", "plain", ...(capabilities.headerFirst ? ["header"] : [])];
const events = ["opened", "received", "writable", "ended"];

test("no fault ends the process", limit, () => {
  assert.equal(status, 0, stderr);
  assert.equal(stderr, "");
});

for (const kind of [...kinds, "backend"]) {
  for (const event of events) {
    test(`a fault in ${event} (${kind}) costs its own stream`, limit, () => {
      costsItsStream(`${kind} ${event}`);
    });
  }
  test(`a fault in closed (${kind}) is reported`, limit, () => {
    const { closes, failure, peer, ...rest } = outcome(`${kind} closed`);
    assert.deepEqual({ closes, failure, peer }, { closes: 1, failure: null, peer: "ECONNRESET" });
    isReportedOnce(`${kind} closed`, rest);
  });
}

for (const kind of kinds) {
  test(`a fault in accepted (${kind}) resets what was accepted`, limit, () => {
    const { closes, peer, ...rest } = outcome(`${kind} accepted`);
    assert.deepEqual({ closes, peer }, { closes: 0, peer: "ECONNRESET" });
    isReportedOnce(`${kind} accepted`, rest);
  });
}

for (const question of ["select", "identity"]) {
  test(`a fault in ${question} costs the handshake`, limit, () => {
    if (!/^deno$/.test(adapter)) return costsItsStream(`tls ${question}`);
    const { closes, failure, ...rest } = outcome(`tls ${question}`);
    assert.equal(closes, 1);
    assert.equal(failure?.code, "ERR_INTERNAL");
    isReportedOnce(`tls ${question}`, rest);
  });
}

test("a certificate that the TLS library refuses costs the handshake", limit, () => {
  const { closes, failure, left, serves, reported } = outcome("tls certificate");
  assert.deepEqual({ closes, left, serves }, { closes: 1, left: 0, serves: true });
  assert.equal(failure?.code, "ERR_INTERNAL");
  // Deno does not report why it refuses one.
  if (!/^deno$/.test(adapter)) assert.deepEqual(reported, [failure.message]);
});

test("a fault before TLS, or at its start, costs its own stream", limit, (context) => {
  if (!capabilities.headerFirst) return context.skip("no header before TLS");
  costsItsStream("header header");
  costsItsStream("header select");
});

test("a fault in staple costs its own stream", limit, (context) => {
  if (!capabilities.staples) return context.skip("no staples");
  costsItsStream("tls staple");
});

test("a fault of the session store costs its own stream", limit, (context) => {
  if (!capabilities.sessionCache) return context.skip("no session cache");
  costsItsStream("tls find");
  costsItsStream("tls store");
});

test("a fault of the ticket keyring costs only the ticket", limit, (context) => {
  if (!capabilities.ticketKeys) return context.skip("no ticket keys");
  const { reported, failure, peer, left } = outcome("tls tickets");
  assert.deepEqual({ failure, peer, left }, { failure: null, peer: "end", left: 0 });
  assert.deepEqual(new Set(reported), new Set(["tls tickets"]));
});

test("a fault at the end of a time limit does not affect other limits", limit, () => {
  isReportedOnce("timer", outcome("timer"));
  isReportedOnce("idle", outcome("idle"));
});

test("an unhandled rejection is reported", limit, () => {
  isReportedOnce("promise", outcome("promise"));
});

function costsItsStream(name: string): void {
  const { closes, failure, peer, ...rest } = outcome(name);
  assert.deepEqual({ closes, failure, peer }, {
    closes: 1,
    failure: { code: "ERR_INTERNAL", message: name },
    peer: "ECONNRESET",
  });
  isReportedOnce(name, rest);
}

/** Also asserts that its descriptor is free, and that the listener serves the next client. */
function isReportedOnce(
  name: string,
  { reported, left, serves }: Pick<Outcome, "reported" | "left" | "serves">,
): void {
  assert.deepEqual({ reported, left, serves }, { reported: [name], left: 0, serves: true });
}

function outcome(name: string): Outcome {
  const found = outcomes.filter((outcome) => outcome.name === name);
  assert.equal(found.length, 1, `${name}: ${stdout}${stderr}`);
  return found[0]!;
}
