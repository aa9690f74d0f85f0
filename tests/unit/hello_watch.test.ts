import { test } from "node:test";
import assert from "node:assert/strict";
import { HelloWatch } from "../../src/runtime/deno/hello_watch.ts";
import { HandClock } from "../support/hand_clock.ts";

/** Counts its timers. */
class CountingClock extends HandClock {
  wakes = 0;

  override after(milliseconds: number, call: () => void): void {
    super.after(milliseconds, () => {
      this.wakes++;
      call();
    });
  }
}

test("a stream is polled at once, and no more after a poll that succeeds", () => {
  const clock = new CountingClock();
  const looks: string[] = [];
  const watch = new HelloWatch<string>((stream) => looks.push(stream) === 1, clock);
  watch.add("whole");
  clock.advance(1000);
  assert.deepEqual([looks, clock.wakes], [["whole"], 0]);
});

test("a slow ClientHello is found at most a third of its time, and at most 256 ms, late", () => {
  for (const silence of [1, 2, 10, 100, 1000, 2000, 30_000]) {
    const clock = new CountingClock();
    let foundAt: number | undefined;
    const watch = new HelloWatch<string>(() => {
      if (clock.now() < silence) return false;
      foundAt ??= clock.now();
      return true;
    }, clock);
    watch.add("late");
    clock.advance(60_000);
    assert.ok(foundAt! - silence <= Math.max(1, Math.min(silence / 3, 256)), `${silence} ms`);
  }
});

test("a thousand waiting clients wake the process no more often than one", () => {
  const perMinute = (count: number) => {
    const clock = new CountingClock();
    let looks = 0;
    const watch = new HelloWatch<number>(() => ++looks < 0, clock);
    for (let i = 0; i < count; i++) watch.add(i);
    clock.advance(60_000);
    return { wakes: clock.wakes, looks: looks / count };
  };
  assert.deepEqual(perMinute(1000), perMinute(1));
  assert.ok(perMinute(1).looks < 300, `${perMinute(1).looks} looks`);
});

test("clients that arrive one after the other share timers too", () => {
  const clock = new CountingClock();
  const watch = new HelloWatch<number>(() => false, clock);
  for (let i = 0; i < 1000; i++) {
    watch.add(i);
    clock.advance(1);
  }
  // As many timers as there are intervals, of which the shortest one is due each millisecond.
  assert.ok(clock.wakes < 2 * 1000, `${clock.wakes} wakes`);
  clock.advance(10_000);
  const before = clock.wakes;
  clock.advance(60_000);
  // All share one timer by now.
  assert.ok(clock.wakes - before <= 60_000 / 250, `${clock.wakes - before} wakes`);
});

test("a stream that is done does not affect the others", () => {
  const clock = new CountingClock();
  const done = new Set<string>();
  const looks: string[] = [];
  const watch = new HelloWatch<string>((stream) => {
    looks.push(stream);
    return done.has(stream);
  }, clock);
  watch.add("a");
  watch.add("b");
  clock.advance(100);
  done.add("a");
  clock.advance(1000);
  looks.length = 0;
  clock.advance(1000);
  assert.ok(looks.length > 0 && looks.every((stream) => stream === "b"));
  done.add("b");
  clock.advance(1000);
  const { wakes } = clock;
  clock.advance(60_000);
  assert.equal(clock.wakes, wakes);
});
