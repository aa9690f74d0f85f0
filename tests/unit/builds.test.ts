import { test } from "node:test";
import assert from "node:assert/strict";
import * as runtime from "#runtime";
import { buildsWith, buildTitle, meets, type Need } from "../../src/options/builds.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";

/** A record, so that the compiler reports a missing need. */
const needs: Record<Need, true> = {
  adoptSockets: true,
  backendSource: true,
  backendTrust: true,
  chooseProtocols: true,
  ciphers: true,
  ciphersuites: true,
  curves: true,
  dhParameters: true,
  engines: true,
  headerFirst: true,
  preferServerCiphers: true,
  sessionCache: true,
  sessionTimeout: true,
  sniAbort: true,
  staples: true,
  ticketKeys: true,
  tlsFacts: true,
  unixBackendTls: true,
  verifyClients: true,
  "TLSv1.0": true,
  "TLSv1.1": true,
  "TLSv1.2": true,
  "TLSv1.3": true,
};

test("the list of builds agrees with the adapter of the running build", () => {
  const { name, capabilities }: Runtime = runtime;
  for (const need of Object.keys(needs) as Need[]) {
    assert.equal(buildsWith(need).includes(buildTitle(name)), meets(capabilities, need), need);
  }
});
