/** A log that is read too slowly, or not at all, loses lines but affects nothing else. */
import assert from "node:assert/strict";
import { readlinkSync } from "node:fs";
import type { Socket } from "node:net";
import { exchange } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { startLoad } from "../support/load.ts";
import { hold } from "../support/processes.ts";
import type { Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";

/** Bytes of the log read per second: a small part of what is written. */
const SLOW = 5000;
/** The value of `--watchdog`, in seconds. */
const WATCHDOG = 3;

export const slowLog: readonly Behaviour[] = [
  {
    name: "a slow log causes no worker to be killed and no queue to be adopted",
    async run(context) {
      const stud = await verbose(context, ["-n", "2", `--watchdog=${WATCHDOG}`]);
      const workers = stud.workers();
      const readAll = stud.readSlowly(SLOW);
      context.after(readAll);
      const load = startLoad(context, stud.frontend, 2);
      const began = performance.now();
      await until(
        () => performance.now() - began > 3 * WATCHDOG * 1000,
        "three times the watchdog's limit",
      );
      await load.serves(20);
      await load.stop();
      assert.deepEqual(load.failures, []);
      assert.deepEqual(stud.workers(), workers);
      readAll();
      await stud.stop();
      assert.deepEqual([...stud.logged("worker-exited"), ...stud.logged("slot-adopted")], []);
    },
  },
  {
    name: "the quotas of --max-connections follow the clients however slow the log is",
    async run(context) {
      const held: Socket[] = [];
      let isHolding = false;
      const { port } = await context.backend((socket) => {
        if (isHolding) held.push(socket.resume());
        else socket.end("served");
      });
      // All clients have one address, and are routed to the same worker.
      const words = ["-n", "2", "--affinity=on", "--max-connections=12"];
      const stud = await verbose(context, words, port);
      context.after(stud.readSlowly(SLOW));
      // More lines than can be read in half a minute.
      await exchanges(stud, 300, "served");
      isHolding = true;
      const clients = Promise.allSettled(
        Array.from({ length: 40 }, () => exchange(stud.frontend, "hello")),
      );
      await until(() => held.length === 11, "the other worker keeps one connection", 15_000);
      isHolding = false;
      for (const socket of held) socket.end("held");
      for (const { status } of await clients) assert.equal(status, "fulfilled");
    },
  },
  {
    name: "a worker has no share in standard error, which may block it",
    async run(context) {
      const stud = await context.stud([], { backend: (await context.echo()).port });
      const [own, its] = [stud.pid, stud.worker()].map((pid) => readlinkSync(`/proc/${pid}/fd/2`));
      assert.notEqual(its, own);
    },
  },
  {
    name: "workers serve while the master is stopped, and their log lines arrive later",
    async run(context) {
      const stud = await verbose(context, ["-n", "1"]);
      const worker = stud.worker();
      await hold(stud.pid);
      await exchanges(stud, 200, "hello");
      process.kill(stud.pid, "SIGCONT");
      await until(() => stud.logged("connection-closed").length === 200, "all lines");
      assert.equal(stud.worker(), worker);
    },
  },
];

/** As many clients as given, some at a time. */
async function exchanges(stud: Stud, count: number, expected: string): Promise<void> {
  const inTurn = async () => {
    while (count-- > 0) assert.equal(String(await exchange(stud.frontend, "hello")), expected);
  };
  await Promise.all(Array.from({ length: 5 }, inTurn));
}

/** All connections are logged. */
async function verbose(
  context: Context,
  words: readonly string[],
  backend?: number,
): Promise<Stud> {
  return await context.stud(["-L", "2", ...words], {
    backend: backend ?? (await context.echo()).port,
  });
}
