/** A side that stops reading stops the other side, not the proxy's memory. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { Behaviour } from "../support/context.ts";
import { anonymousMemory } from "../support/processes.ts";
import type { Stud } from "../support/stud.ts";
import { until, within } from "../support/until.ts";

const MIB = 1024 * 1024;
/** Far more than the kernel's socket buffers hold on the whole way. */
const TRANSFER = 128 * MIB;
/** How much a worker may grow for one stalled connection, over its size after a whole transfer. */
const MAX_GROWTH = 16 * MIB;
/** How long the reader sleeps. This wait is the behaviour itself. */
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
    await until(() => taken > 0, "the transfer's beginning");
    for (const end = performance.now() + stall; performance.now() < end; await pause(50)) watch();
    assert.ok(taken < TRANSFER, "the writer was not held back");
  }
  const received = createHash("sha256");
  let count = 0;
  // Not gathered: this process starts many others, and the more it holds, the dearer is each start.
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
