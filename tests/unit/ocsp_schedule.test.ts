import { test } from "node:test";
import assert from "node:assert/strict";
import { type Outcome, Schedule } from "../../src/ocsp/schedule.ts";
import { Staples } from "../../src/ocsp/staples.ts";
import { HandClock } from "../support/hand_clock.ts";

const SECOND = 1000;
const REFRESH_INTERVAL = 1800;

/** The wall clock, which can be set. */
class WallClock extends HandClock {
  /** Milliseconds by which it was set forward. */
  set = 0;

  override now(): number {
    return super.now() + this.set;
  }
}

/** Attempts end as `outcome` says; the seconds at which they began are noted. */
function scheduled(outcome: (clock: WallClock) => Outcome | Promise<Outcome>) {
  const clock = new WallClock();
  const attempts: number[] = [];
  const schedule = new Schedule(
    (certificate) => {
      attempts.push(certificate, clock.now() / SECOND);
      return Promise.resolve(outcome(clock));
    },
    REFRESH_INTERVAL,
    clock,
  );
  const settle = async () => {
    clock.advance(0);
    await new Promise<void>((resolve) => setImmediate(resolve));
  };
  /** Second by second, so that promises of an attempt settle before the clock advances. */
  const advance = async (seconds: number) => {
    await settle();
    for (let second = 0; second < seconds; second++) {
      clock.advance(SECOND);
      await settle();
    }
  };
  return { clock, schedule, attempts, advance };
}

test("a certificate without a staple is fetched at once, then ten minutes before the end", async () => {
  const { schedule, attempts, advance } = scheduled((clock) => ({
    type: "fresh",
    until: clock.now() + 3600 * SECOND,
  }));
  schedule.add(5, undefined);
  await advance(1);
  assert.deepEqual(attempts, [5, 0]);
  await advance(2998);
  assert.deepEqual(attempts, [5, 0]);
  await advance(2);
  assert.deepEqual(attempts, [5, 0, 5, 3000]);
});

test("an existing staple is replaced ten minutes before its end", async () => {
  const { schedule, attempts, advance } = scheduled(() => ({ type: "over" }));
  schedule.add(0, { until: 1000 * SECOND });
  await advance(399);
  assert.deepEqual(attempts, []);
  await advance(2);
  assert.deepEqual(attempts, [0, 400]);
});

test("a staple without an end is replaced after the refresh interval", async () => {
  const { schedule, attempts, advance } = scheduled(() => ({ type: "fresh" }));
  schedule.add(0, {});
  await advance(3601);
  assert.deepEqual(attempts, [0, 1800, 0, 3600]);
});

test("a minute passes between two attempts, however short a staple lives", async () => {
  const { schedule, attempts, advance } = scheduled((clock) => ({
    type: "fresh",
    until: clock.now() + SECOND,
  }));
  schedule.add(0, undefined);
  await advance(121);
  assert.deepEqual(attempts, [0, 0, 0, 60, 0, 120]);
});

for (const [type, seconds] of [["failed", 300], ["silent", 600]] as const) {
  test(`an attempt that was ${type} is repeated after ${seconds} s`, async () => {
    const { schedule, attempts, advance } = scheduled(() => ({ type }));
    schedule.add(0, undefined);
    await advance(seconds + 1);
    assert.deepEqual(attempts, [0, 0, 0, seconds]);
  });
}

test("nothing is fetched for an expired certificate", async () => {
  const { schedule, attempts, advance } = scheduled(() => ({ type: "over" }));
  schedule.add(0, undefined);
  await advance(2000);
  assert.deepEqual(attempts, [0, 0]);
});

test("eight are fetched at a time, and the others after them", async () => {
  const waiting: ((outcome: Outcome) => void)[] = [];
  const { schedule, attempts, advance } = scheduled(() =>
    new Promise((resolve) => waiting.push(resolve))
  );
  for (let certificate = 0; certificate < 20; certificate++) schedule.add(certificate, undefined);
  await advance(100);
  assert.equal(attempts.length / 2, 8);
  waiting.shift()!({ type: "failed" });
  await advance(1);
  assert.equal(attempts.length / 2, 9);
  while (waiting.length > 0) {
    waiting.shift()!({ type: "over" });
    await advance(1);
  }
  assert.equal(new Set(attempts.filter((_, i) => i % 2 === 0)).size, 20);
});

test("after the clock is set forward, the next poll starts the next attempt", async () => {
  const { clock, schedule, attempts, advance } = scheduled(() => ({ type: "over" }));
  schedule.add(3, { until: 90_000 * SECOND });
  await advance(10);
  clock.set = 90_000 * SECOND;
  await advance(49);
  assert.deepEqual(attempts, []);
  await advance(1);
  assert.deepEqual(attempts, [3, 90_060]);
});

test("a worker staples a response up to its end only", () => {
  const staples = new Staples();
  staples.set({ certificate: 2, response: "AQ==", until: 1000 });
  assert.deepEqual([...staples.get(2, 999)!], [1]);
  assert.equal(staples.get(2, 1000), undefined);
  assert.equal(staples.get(1, 0), undefined);
  staples.set({ certificate: 2, response: "AQ==" });
  assert.ok(staples.get(2, Number.MAX_SAFE_INTEGER));
});

test("staples for other places count when the certificates are exchanged, and no others", () => {
  const staples = new Staples();
  staples.set({ certificate: 1, response: "AQ==" });
  staples.set({ certificate: 2, response: "AQ==", next: true });
  assert.ok(staples.get(1));
  assert.equal(staples.get(2), undefined);
  staples.exchange();
  assert.equal(staples.get(1), undefined);
  assert.ok(staples.get(2));
  staples.set({ certificate: 3, response: "AQ==", next: true });
  staples.forgetNext();
  staples.exchange();
  assert.equal(staples.get(3), undefined);
});
