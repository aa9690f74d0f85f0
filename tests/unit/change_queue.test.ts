import { test } from "node:test";
import assert from "node:assert/strict";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { type Change, ChangeQueue } from "../../src/service/change_queue.ts";

/** A change that lasts until `end` is called for it. */
class Slow implements Change {
  isRequested = false;
  runs = 0;
  end: (error?: Error) => void = () => {};

  takeRequest(): boolean {
    const { isRequested } = this;
    this.isRequested = false;
    return isRequested;
  }

  run(): Promise<void> {
    this.runs++;
    return new Promise((resolve, reject) => {
      this.end = (error) => error ? reject(error) : resolve();
    });
  }
}

function queue() {
  const [first, second] = [new Slow(), new Slow()];
  const logged: LogEntry[] = [];
  const changes = new ChangeQueue((entry) => logged.push(entry), [first, second]);
  const request = (change: Slow) => {
    change.isRequested = true;
    return changes.run();
  };
  return { first, second, changes, request, logged };
}

/** Waits until settled promises have been handled. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve));
}

test("requests wait until it opens, and the first kind of change runs first", async () => {
  const { first, second, changes, request } = queue();
  await request(second);
  await request(first);
  assert.deepEqual([first.runs, second.runs], [0, 0]);
  const open = changes.open();
  assert.deepEqual([first.runs, second.runs], [1, 0]);
  first.end();
  await settle();
  assert.deepEqual([first.runs, second.runs], [1, 1]);
  second.end();
  await open;
});

test("requests during a change cause one more", async () => {
  const { second, changes, request } = queue();
  await changes.open();
  const all = request(second);
  for (let i = 0; i < 3; i++) await request(second);
  assert.equal(second.runs, 1);
  second.end();
  await settle();
  assert.equal(second.runs, 2);
  second.end();
  await all;
});

test("a change that fails is logged and does not prevent others", async () => {
  const { first, second, changes, request, logged } = queue();
  await changes.open();
  const all = request(first);
  await request(second);
  first.end(new Error("a fault"));
  await settle();
  assert.equal(second.runs, 1);
  second.end(new Error("another one"));
  await all;
  assert.deepEqual(logged.map(({ event }) => event), ["internal-error", "internal-error"]);
  const again = request(first);
  assert.equal(first.runs, 2);
  first.end();
  await again;
});

test("no change starts once it is closed", async () => {
  const { first, second, changes, request } = queue();
  await changes.open();
  const all = request(first);
  await request(second);
  changes.close();
  first.end();
  await all;
  await request(first);
  assert.deepEqual([first.runs, second.runs], [1, 0]);
});
