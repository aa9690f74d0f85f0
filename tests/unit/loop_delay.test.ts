import { test } from "node:test";
import assert from "node:assert/strict";
import { LoopDelay } from "../../src/base/loop_delay.ts";
import { residentMemory } from "../../src/os/resident_memory.ts";
import { HandClock } from "../support/hand_clock.ts";

/** A clock whose timers are called late. */
class LateClock extends HandClock {
  lateMs = 0;

  override now(): number {
    return super.now() + this.lateMs;
  }
}

test("the longest delay of the last one to two seconds is known", () => {
  const clock = new LateClock();
  const delay = new LoopDelay(clock);
  clock.advance(500);
  assert.equal(delay.recentMs, 0);
  clock.lateMs = 250;
  clock.advance(500);
  assert.equal(delay.recentMs, 250);
  clock.advance(500);
  assert.equal(delay.recentMs, 250, "a second later");
  clock.advance(2000);
  assert.equal(delay.recentMs, 0, "forgotten");
});

test("the resident memory of a process is known until it has exited", () => {
  assert.ok(residentMemory(process.pid) > 1_000_000);
  assert.equal(residentMemory(2 ** 30), 0);
});
