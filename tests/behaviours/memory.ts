/** Repeated failures leave nothing behind. */
import assert from "node:assert/strict";
import { ending, openTcp, openTls, openWire, PARTIAL_HELLO } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, freeEndpoint } from "../support/endpoints.ts";
import { anonymousMemory, descriptorCount } from "../support/processes.ts";
import type { Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";

const MIB = 1024 * 1024;
const REPETITIONS = 300;
/** How much a worker may grow by all repetitions, after a third as many to warm up. */
const MAX_GROWTH = 12 * MIB;

export const memory: readonly Behaviour[] = [
  {
    name: `${REPETITIONS} failed handshakes leave nothing behind`,
    run: (context) =>
      leavesNothing(context, async ({ frontend }) => {
        const client = await openTcp(frontend);
        client.write(Buffer.alloc(512, 0xa5));
        await ending(client);
        client.destroy();
      }),
  },
  {
    name: `${REPETITIONS} clients that vanish during the handshake leave nothing behind`,
    run: (context) =>
      leavesNothing(context, async ({ frontend }) => {
        const client = await openTcp(frontend);
        await new Promise((written) => client.write(PARTIAL_HELLO, written));
        client.resetAndDestroy();
      }),
  },
  {
    name: `${REPETITIONS} refusals by the backend leave nothing behind`,
    run: async (context) =>
      leavesNothing(context, async ({ frontend }) => {
        const client = await openTls(frontend);
        await ending(client);
        client.destroy();
      }, await freeEndpoint()),
  },
  {
    name: `${REPETITIONS} resets by the backend leave nothing behind`,
    async run(context) {
      const backend = await context.backend((socket) => {
        socket.once("data", () => socket.resetAndDestroy());
      });
      await leavesNothing(context, async ({ frontend }) => {
        const client = await openTls(frontend);
        client.write("x");
        await ending(client);
        client.destroy();
      }, { host: "127.0.0.1", port: backend.port });
    },
  },
  {
    name: `${REPETITIONS} resets by the client leave nothing behind`,
    async run(context) {
      const backend = await context.echo();
      await leavesNothing(context, async ({ frontend }) => {
        const wire = await openWire(frontend);
        const client = await openTls(wire.entry);
        wire.socket.resetAndDestroy();
        await ending(client);
        wire.close();
      }, { host: "127.0.0.1", port: backend.port });
    },
  },
];

async function leavesNothing(
  context: Context,
  fail: (stud: Stud) => Promise<void>,
  backend?: Endpoint,
): Promise<void> {
  // At this level every failure is logged.
  const stud = await context.stud(["-L", "2"], { backend: backend ?? await freeEndpoint() });
  const worker = stud.worker();
  const repeat = async (times: number) => {
    const inTurn = async () => {
      while (times-- > 0) await fail(stud);
    };
    await Promise.all(Array.from({ length: 10 }, inTurn));
  };
  await repeat(REPETITIONS / 3);
  await allLogged(stud, REPETITIONS / 3);
  const idle = descriptorCount(worker);
  const baseline = anonymousMemory(worker);
  await repeat(REPETITIONS);
  await allLogged(stud, REPETITIONS + REPETITIONS / 3);
  await until(() => descriptorCount(worker) <= idle, `the worker has ${idle} descriptors again`);
  const growth = anonymousMemory(worker) - baseline;
  assert.ok(growth < MAX_GROWTH, `grew by ${(growth / MIB).toFixed(1)} MiB`);
  assert.equal(stud.worker(), worker);
}

function allLogged(stud: Stud, count: number): Promise<unknown> {
  return until(() => stud.failures().length >= count, `${count} connection-failed lines`);
}
