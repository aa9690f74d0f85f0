import { test } from "node:test";
import assert from "node:assert/strict";
import * as runtime from "#runtime";
import { buildsWith, buildTitle, meets, type Need } from "../../src/options/builds.ts";
import type { Runtime } from "../../src/runtime/types.ts";

const needs: readonly Need[] = [
  "backendSource",
  "chooseProtocols",
  "ciphers",
  "preferServerCiphers",
  "TLSv1.0",
  "TLSv1.1",
  "TLSv1.2",
  "TLSv1.3",
];

test("what the list of builds says of this one is what its adapter says", () => {
  const { name, capabilities }: Runtime = runtime;
  for (const need of needs) {
    assert.equal(buildsWith(need).includes(buildTitle(name)), meets(capabilities, need), need);
  }
});
