/** A side that stops reading stops the other side; the proxy's memory does not grow. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { Behaviour } from "../support/context.ts";
import { anonymousMemory } from "../support/processes.ts";
import type { Stud } from "../support/stud.ts";
import { until, within } from "../support/until.ts";

const MIB = 1024 * 1024;
/** Far more than all socket buffers on the path can hold. */
const TRANSFER = 128 * MIB;
/** The growth allowed for one stalled connection, above the worker's size after a whole transfer. */
const MAX_GROWTH = 16 * MIB;
/** How long the reader sleeps: the behaviour under test. */
const STALL = 5_000;

export const backpressure: readonly Behaviour[] = [
  {
    name: "a client that stops reading for 5 s costs no memory and loses nothing",
    waits: true,
    async run(context) {
      const backend = await context.backend();
      const stud = await context.stud([], { backend: backend.port });
      await stalls(stud, async () => {
        const reader = await context.tls(stud.frontend);
        return { reader, writer: await backend.accept() };
      });
    },
  },
  {
    name: "a backend that stops reading for 5 s costs no memory and loses nothing",
    waits: true,
    async run(context) {
      const backend = await context.backend();
      const stud = await context.stud([], { backend: backend.port });
      await stalls(stud, async () => {
        const writer = await context.tls(stud.frontend);
        return { reader: await backend.accept(), writer };
      });
    },
  },
];

interface Pair {
  readonly reader: Socket;
  readonly writer: Socket;
}

async function stalls(stud: Stud, open: () => Promise<Pair>): Promise<void> {
  const worker = stud.worker();
  await transfer(await open(), 0, () => {});
  const baseline = anonymousMemory(worker);
  let largest = 0;
  await transfer(await open(), STALL, () => {
    largest = Math.max(largest, anonymousMemory(worker));
  });
  const growth = largest - baseline;
  assert.ok(growth < MAX_GROWTH, `grew by ${(growth / MIB).toFixed(1)} MiB`);
  assert.deepEqual(stud.failures(), []);
}

async function transfer(pair: Pair, stall: number, watch: () => void): Promise<void> {
  const { reader, writer } = pair;
  const sent = createHash("sha256");
  let taken = 0;
  const sending = (async () => {
    const block = randomBytes(MIB);
    for (; taken < TRANSFER; taken += block.length) {
      block.writeUInt32BE(taken / MIB);
      sent.update(block);
      await new Promise((written) => writer.write(block, written));
    }
    writer.end();
  })();
  if (stall) {
    await until(() => taken > 0, "the start of the transfer");
    for (const end = performance.now() + stall; performance.now() < end; await pause(50)) watch();
    assert.ok(taken < TRANSFER, "the writer was not held back");
  }
  const received = createHash("sha256");
  let count = 0;
  // Not collected: this process starts many others, and each start costs more the larger it is.
  const receiving = (async () => {
    for await (const chunk of reader.iterator({ destroyOnReturn: false })) {
      received.update(chunk);
      count += chunk.length;
    }
  })();
  await within(receiving, "the rest of the transfer", 120_000);
  reader.end();
  await sending;
  assert.equal(count, TRANSFER);
  assert.equal(received.digest("hex"), sent.digest("hex"));
}
