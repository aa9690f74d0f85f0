/** What package.json chooses by build goes with what the build's adapter can do. */
import { test } from "node:test";
import assert from "node:assert/strict";
import * as runtime from "#runtime";
import type { Runtime } from "../../src/runtime/runtime.ts";

const { capabilities }: Runtime = runtime;

test("OCSP is in builds that staple, and absent from the others", async () => {
  const { runOcsp, readResponseFile } = await import("#ocsp");
  const real = await import("../../src/ocsp/present.ts");
  assert.equal(runOcsp === real.runOcsp, capabilities.staples);
  assert.equal(readResponseFile === real.readResponseFile, capabilities.staples);
  if (capabilities.staples) return;
  assert.throws(() => runOcsp(runtime), /staples no OCSP responses/);
  assert.throws(() => readResponseFile("", "", true), /staples no OCSP responses/);
});

test("the ticket store is in builds that are given ticket keys, and absent from the others", async () => {
  const { runStore } = await import("#ticket_store");
  const real = await import("../../src/tickets/store_process.ts");
  assert.equal(runStore === real.runStore, capabilities.ticketKeys);
  if (!capabilities.ticketKeys) assert.throws(() => runStore(runtime), /has no ticket store/);
});
