/** Limits on what clients can use, and what happens to those beyond them. */
import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { LOG_INTERVAL_MS } from "../../src/worker/connection_limiter.ts";
import { ending, exchange, openTcp, PARTIAL_HELLO } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { anonymousMemory, descriptorCount } from "../support/processes.ts";
import type { LogLine, Stud } from "../support/stud.ts";
import { until, within } from "../support/until.ts";

/** The descriptor limit of each process, and the connection limit that a worker derives from it. */
const DESCRIPTORS = 200;
const AFFORDABLE = (DESCRIPTORS - 64) / 2;
const MIB = 1024 * 1024;
/** How much a worker may grow while clients wait in its queue. */
const MAX_GROWTH = 4 * MIB;

export const limits: readonly Behaviour[] = [
  {
    name: "connections beyond --max-worker-connections wait until others close",
    async run(context) {
      const stud = await echoing(context, ["--max-worker-connections=5"]);
      await waits(context, stud, 5, 30);
    },
  },
  {
    name: "connections beyond the descriptor limit wait until others close",
    async run(context) {
      const stud = await echoing(limited(context), []);
      await waits(context, stud, AFFORDABLE, 20);
    },
  },
  {
    name: "--max-worker-connections is lowered to what the descriptor limit allows, with a warning",
    async run(context) {
      const stud = await echoing(limited(context), ["--max-worker-connections=5000"]);
      const warning = await stud.waitForLog(({ event }) => event === "warning", "a warning");
      assert.match(warning.message, /^--max-worker-connections: .* not 5000; raise ulimit -n$/);
      assert.equal(warning.limit, AFFORDABLE);
      await waits(context, stud, AFFORDABLE, 1);
    },
  },
  {
    name: "--max-connections is the limit of all workers together, and further connections wait",
    async run(context) {
      const { port, held, release } = await holding(context);
      const words = ["-n", "2", "--affinity=off", "--max-connections=10"];
      const stud = await context.stud(words, { backend: port });
      const clients = Array.from({ length: 40 }, () => exchange(stud.frontend, "hello"));
      // The quotas follow the clients, however the kernel distributes those among the workers.
      await until(() => held.length === 10, "ten are served");
      release();
      const answers = await Promise.all(clients);
      assert.ok(answers.every((answer) => String(answer) === "held"));
      assert.equal(held.length, 10, "no eleventh before one of them closes");
      assert.deepEqual(stud.failures(), []);
    },
  },
  {
    name: "connections of workers of an older configuration count towards --max-connections",
    async run(context) {
      const file = join(mkdtempSync(join(context.certificates.directory, "limits-")), "stud.conf");
      const write = (halfClose: number) =>
        writeFileSync(file, `max-connections = 3\nhalf-close-timeout = ${halfClose}\n`);
      write(50);
      const stud = await echoing(context, [`--config=${file}`]);
      const old = [await context.tls(stud.frontend), await context.tls(stud.frontend)];
      write(51);
      stud.signal("SIGHUP");
      await stud.waitForLog(({ event }) => event === "reloaded", "the reload");
      // Workers with sockets of their own lose the connections in their queue when they stop listening.
      const patiently = <T>(action: () => Promise<T>): Promise<T> =>
        context.target.adoptSockets
          ? action()
          : until(() => action().catch(() => undefined), "an answer") as Promise<T>;
      const third = await patiently(() => context.tls(stud.frontend));
      const fourth = patiently(() => exchange(stud.frontend, "hello"));
      await staysOpen(fourth, async () => {
        for (const client of [...old, third]) await roundTrips(client);
      });
      old[0]!.destroy();
      assert.equal(String(await fourth), "hello");
      for (const client of [old[1]!, third]) await roundTrips(client);
    },
  },
  {
    name:
      "a reload that only raises --max-connections keeps the workers, and more clients are served",
    appliesTo: ({ adoptSockets }) => adoptSockets,
    async run(context) {
      const file = join(mkdtempSync(join(context.certificates.directory, "limits-")), "stud.conf");
      const write = (limit: number) => writeFileSync(file, `max-connections = ${limit}\n`);
      write(2);
      const stud = await echoing(context, [`--config=${file}`]);
      const workers = stud.workers();
      const clients = [await context.tls(stud.frontend), await context.tls(stud.frontend)];
      const third = exchange(stud.frontend, "hello");
      await staysOpen(third, async () => {
        for (const client of clients) await roundTrips(client);
      });
      write(3);
      stud.signal("SIGHUP");
      assert.equal(String(await within(third, "the third client's answer")), "hello");
      assert.deepEqual(stud.workers(), workers);
      for (const client of clients) await roundTrips(client);
    },
  },
  {
    name: "connections in an adopted queue wait as well",
    appliesTo: ({ adoptSockets }) => adoptSockets,
    waits: true,
    async run(context) {
      const words = ["-n", "2", "--affinity=off", "--max-worker-connections=6"];
      const { port, held, release } = await holding(context);
      const stud = await context.stud(words, { backend: port });
      const [hung] = stud.workers();
      process.kill(hung!, "SIGSTOP");
      await stud.waitForLog(({ event }) => event === "slot-adopted", "its queue is served");
      const clients = Array.from({ length: 24 }, () => exchange(stud.frontend, "hello"));
      await until(() => held.length === 6, "six are served");
      release();
      for (const answer of await Promise.all(clients)) assert.equal(String(answer), "held");
      assert.equal(held.length, 6, "no seventh before one of them closes");
    },
  },
  {
    name: "beyond --max-handshakes the oldest handshake is reset, and clients are served",
    async run(context) {
      const stud = await echoing(context, ["--max-handshakes=4"]);
      const stuck: Socket[] = [];
      for (let i = 0; i < 4; i++) stuck.push(await stuckClient(context, stud));
      for (let i = 0; i < 3; i++) {
        assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      }
      // Each reset makes room for the next one.
      assert.equal(await ending(stuck[0]!), "ECONNRESET");
      assert.ok(stuck.slice(1).every((client) => !client.destroyed));
      for (let i = 0; i < 4; i++) await stuckClient(context, stud);
      for (const client of stuck.slice(1)) assert.equal(await ending(client), "ECONNRESET");
      await allFailuresAre(stud, "client handshake-evicted");
    },
  },
  {
    name: "beyond --max-source-connections only that source's new connections are reset",
    async run(context) {
      const stud = await echoing(context, ["--max-source-connections=2"]);
      const from = (localAddress: string) => ({ localAddress });
      const first = await context.tls(stud.frontend, from("127.0.0.5"));
      const second = await context.tls(stud.frontend, from("127.0.0.5"));
      for (let i = 0; i < 3; i++) {
        await assert.rejects(context.tls(stud.frontend, from("127.0.0.5")), isReset);
      }
      assert.equal(String(await exchange(stud.frontend, "hello", from("127.0.0.6"))), "hello");
      await roundTrips(first);
      first.destroy();
      const welcome = () => exchange(stud.frontend, "hello", from("127.0.0.5")).catch(() => "");
      await until(async () => String(await welcome()) === "hello", "the source can connect again");
      await roundTrips(second);
      await allFailuresAre(stud, "client source-limit");
    },
  },
  {
    name: "beyond --max-source-rate only that source's new connections are reset",
    async run(context) {
      const stud = await echoing(context, ["--max-source-rate=3"]);
      const hello = (localAddress: string) => exchange(stud.frontend, "hello", { localAddress });
      const burst = await Promise.allSettled(Array.from({ length: 40 }, () => hello("127.0.0.5")));
      const refused = burst.filter((each) => each.status === "rejected");
      assert.ok(refused.length > 0 && refused.every(({ reason }) => isReset(reason)));
      assert.ok(burst.length - refused.length >= 3, "a second's worth is served");
      assert.equal(String(await hello("127.0.0.6")), "hello");
      const welcome = () => hello("127.0.0.5").catch(() => "");
      await until(async () => String(await welcome()) === "hello", "the source can connect again");
      await allFailuresAre(stud, "client source-rate");
    },
  },
  {
    name: "waiting clients cost a worker nothing, and the log one line",
    async run(context) {
      const stud = await echoing(context, ["--max-worker-connections=4"]);
      const began = performance.now();
      const worker = stud.worker();
      const held = await hold(context, stud, 4);
      for (const client of held) await roundTrips(client);
      const before = { memory: anonymousMemory(worker), descriptors: descriptorCount(worker) };
      for (let round = 0; round < 5; round++) {
        const waiting = await Promise.all(
          Array.from({ length: 100 }, () => openTcp(stud.frontend)),
        );
        await roundTrips(held[0]!);
        for (const socket of waiting) socket.destroy();
      }
      await until(() => descriptorCount(worker) === before.descriptors, "no additional descriptor");
      const growth = anonymousMemory(worker) - before.memory;
      assert.ok(growth < MAX_GROWTH, `grew by ${(growth / MIB).toFixed(1)} MiB`);
      for (const client of held) client.destroy();
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      isToldSeldom(stud, began);
    },
  },
];

/** The same context with a low descriptor limit for each process. */
function limited(context: Context): Context {
  const limit = ["bash", "-c", `ulimit -n ${DESCRIPTORS}; exec "$@"`, "bash"];
  return context.like({ ...context.target, command: [...limit, ...context.target.command] });
}

async function echoing(context: Context, words: readonly string[]): Promise<Stud> {
  return await context.stud(words, { backend: (await context.echo()).port });
}

/** A backend that answers no client until `release`, then all at once. */
async function holding(context: Context) {
  const held: Socket[] = [];
  let isReleased = false;
  const { port } = await context.backend((socket) => {
    socket.resume();
    if (isReleased) socket.end("held");
    else held.push(socket);
  });
  const release = () => {
    isReleased = true;
    for (const socket of held) socket.end("held");
  };
  return { port, held, release };
}

/** Opens this number of connections that are served and stay open. */
function hold(context: Context, stud: Stud, count: number): Promise<TLSSocket[]> {
  return Promise.all(Array.from({ length: count }, () => context.tls(stud.frontend)));
}

/** At this number of open connections all others wait, and are served when those close. */
async function waits(context: Context, stud: Stud, most: number, others: number): Promise<void> {
  const began = performance.now();
  const held = await hold(context, stud, most);
  const line = await stud.waitForLog(isLimit, "the limit is logged");
  assert.equal(line.limit, most);
  const waiting = Array.from({ length: others }, () => exchange(stud.frontend, "hello"));
  await staysOpen(Promise.race(waiting), () => roundTrips(held[0]!));
  for (const client of held) client.destroy();
  for (const answer of await Promise.all(waiting)) assert.equal(String(answer), "hello");
  assert.equal(stud.failures().filter((each) => each !== "client client-reset").length, 0);
  isToldSeldom(stud, began);
}

/** The limit was logged once in ten seconds. */
function isToldSeldom(stud: Stud, began: number): void {
  const most = 1 + Math.floor((performance.now() - began) / LOG_INTERVAL_MS);
  assert.ok(stud.logs.filter(isLimit).length <= most, `more than ${most} lines`);
}

/** Checks that the promise is still pending when the action is done. */
async function staysOpen(promise: Promise<unknown>, action: () => Promise<void>): Promise<void> {
  const settled = promise.then(() => "settled", (error) => `failed: ${error}`);
  assert.equal(await Promise.race([settled, action().then(() => "open")]), "open");
}

/** Many turns of the worker's event loop, in each of which it could have accepted more. */
async function roundTrips(client: TLSSocket): Promise<void> {
  for (let i = 0; i < 30; i++) {
    client.write("ping");
    const answer = await within(
      new Promise<Buffer>((resolve) => client.once("data", resolve)),
      "an echo",
    );
    assert.equal(String(answer), "ping");
  }
}

/** A client that never finishes its handshake. */
async function stuckClient(context: Context, stud: Stud): Promise<Socket> {
  const client = await openTcp(stud.frontend);
  context.after(() => client.destroy());
  client.write(PARTIAL_HELLO);
  return client;
}

/** Checks that all failures are of this kind. */
async function allFailuresAre(stud: Stud, kind: string): Promise<void> {
  await until(() => stud.failures().length > 0, kind);
  assert.deepEqual(stud.failures().filter((each) => each !== kind), []);
}

function isReset(error: NodeJS.ErrnoException): boolean {
  return error.code === "ECONNRESET";
}

function isLimit({ event }: LogLine): boolean {
  return event === "connection-limit";
}
