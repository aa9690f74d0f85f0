/** The status documents that the clients of the admin endpoint share. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { NoAnswer, Snapshots } from "../../src/admin/helper/snapshots.ts";
import type { Status } from "../../src/status/status.ts";
import { HandClock } from "../support/hand_clock.ts";

function snapshots() {
  const clock = new HandClock();
  const state = { asked: 0 };
  const made = new Snapshots(() => state.asked++, clock);
  return { clock, state, made };
}

const one = { time: "1" } as Status;

test("all clients share a status for a quarter of a second", async () => {
  const { clock, state, made } = snapshots();
  const waiting = [made.get(), made.get()];
  assert.equal(state.asked, 1);
  made.received(one);
  assert.deepEqual(await Promise.all(waiting), [one, one]);
  clock.advance(200);
  assert.equal(await made.get(), one);
  assert.equal(state.asked, 1);
  clock.advance(100);
  void made.get();
  assert.equal(state.asked, 2);
});

test("after an action the next client gets a new one", async () => {
  const { state, made } = snapshots();
  void made.get();
  made.received(one);
  made.forget();
  const next = made.get();
  assert.equal(state.asked, 2);
  made.received({ time: "2" } as Status);
  assert.equal((await next).time, "2");
});

test("clients wait for three seconds, and the next ones ask again", async () => {
  const { clock, state, made } = snapshots();
  const waiting = made.get();
  clock.advance(3000);
  await assert.rejects(waiting, NoAnswer);
  const next = made.get();
  assert.equal(state.asked, 2);
  made.received(one);
  assert.equal(await next, one);
  clock.advance(10_000);
});
