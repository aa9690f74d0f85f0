import { test } from "node:test";
import assert from "node:assert/strict";
import { olderText } from "../../src/master/workers/generations.ts";

test("older generations are mentioned only while they have connections", () => {
  assert.equal(olderText(0, 0), "");
  assert.equal(olderText(1, 0), "");
  assert.equal(olderText(1, 1), "; an older generation still has 1 connection");
  assert.equal(olderText(2, 1500), "; 2 older generations still have 1,500 connections");
});
