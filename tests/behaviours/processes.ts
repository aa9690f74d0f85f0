/** Master and workers: who serves, who dies, who comes back, and a clean end. */
import assert from "node:assert/strict";
import { exchange, openTcp, openTls, readAll } from "../support/client.ts";
import { connect as connectTls } from "node:tls";
import type { Behaviour, Context } from "../support/context.ts";
import { isAlive, socketCount } from "../support/processes.ts";
import { launchStud, type Stud } from "../support/stud.ts";
import { until, within } from "../support/until.ts";

export const processes: readonly Behaviour[] = [
  {
    name: "every worker serves",
    async run(context) {
      const stud = await echoing(context, ["-n", "3"]);
      const workers = stud.workers();
      assert.equal(workers.length, 3);
      const idle = workers.map(socketCount);
      const clients = await Promise.all(Array.from({ length: 60 }, () => openTls(stud.frontend)));
      context.after(() => clients.forEach((client) => client.destroy()));
      await until(
        () => workers.every((pid, i) => socketCount(pid) > idle[i]!),
        "each of three workers holds some of 60 connections",
      );
    },
  },
  {
    name: "kill -9 of workers under load refuses no new connection",
    alone: true,
    async run(context) {
      const stud = await echoing(context, ["-n", "2"]);
      const load = startLoad(context, stud);
      const deaths: Span[] = [];
      for (const round of [1, 2, 3]) {
        const served = load.served;
        await until(() => load.served > served + 20, `the load of round ${round}`);
        const victim = stud.workers()[round % 2]!;
        const from = performance.now();
        process.kill(victim, "SIGKILL");
        await until(() => !isAlive(victim), "the worker's death");
        deaths.push({ from, to: performance.now() });
        await until(() => {
          const now = stud.workers();
          return now.length === 2 && !now.includes(victim);
        }, "a new worker");
        await stud.waitForLog(
          (line) => line.event === "worker-exited" && line.pid === victim,
          "the dead worker is reported",
        );
      }
      const served = load.served;
      await until(() => load.served > served + 200, "the load goes on");
      await load.stop();
      // A connection which a killed worker held is lost with it; only those may fail.
      const unexcused = load.failures.filter((failure) =>
        !deaths.some((death) => failure.from < death.to && failure.to > death.from)
      );
      assert.deepEqual(unexcused, []);
      assert.ok(!load.failures.some((failure) => failure.code === "ECONNREFUSED"));
      assert.ok(load.failures.length <= deaths.length * LOAD, `${load.failures.length} failed`);
    },
  },
  {
    name: "connections that wait at a killed worker are served by its successor",
    async run(context) {
      const stud = await echoing(context, ["-n", "1"]);
      const worker = stud.worker();
      process.kill(worker, "SIGSTOP");
      const waiting = await Promise.all(Array.from({ length: 8 }, () => openTcp(stud.frontend)));
      process.kill(worker, "SIGKILL");
      const served = await Promise.allSettled(waiting.map((socket) => {
        const client = connectTls({ socket, rejectUnauthorized: false, servername: "localhost" });
        context.after(() => client.destroy());
        client.end("hello");
        return readAll(client);
      }));
      if (context.target.adoptSockets) {
        assert.deepEqual(served.map((result) => result.status), new Array(8).fill("fulfilled"));
      }
      await answers(stud);
    },
  },
  {
    name: "a worker that dies again and again is started ever later, and its slot is still served",
    alone: true,
    async run(context) {
      const stud = await echoing(context, ["-n", "2"]);
      const slot = stud.logs.find((line) => line.event === "worker-started")!.worker;
      const started = () =>
        stud.logs.filter((line) => line.event === "worker-started" && line.worker === slot);
      const exited = () =>
        stud.logs.filter((line) => line.event === "worker-exited" && line.worker === slot);
      let probing = true;
      const probes = (async () => {
        while (probing) await answers(stud);
      })();
      try {
        for (let deaths = 1; deaths <= 4; deaths++) {
          process.kill(started().at(-1)!.pid as number, "SIGKILL");
          await until(() => exited().length === deaths, `death ${deaths} is reported`);
          await until(() => started().length === deaths + 1, `start ${deaths + 1}`, 20_000);
        }
      } finally {
        probing = false;
        await probes;
      }
      const pauses = exited().map((exit, i) =>
        Date.parse(started()[i + 1]!.time) - Date.parse(exit.time)
      );
      assert.ok(pauses[3]! > pauses[0]! + 400, `pauses in ms: ${pauses}`);
    },
  },
  {
    name: "kill -9 of the master leaves no worker",
    async run(context) {
      const stud = await echoing(context, ["-n", "2"]);
      const workers = stud.workers();
      assert.equal(workers.length, 2);
      const client = await openTls(stud.frontend);
      context.after(() => client.destroy());
      stud.signal("SIGKILL");
      await until(() => !workers.some(isAlive), "the workers' end");
    },
  },
  ...(["SIGTERM", "SIGINT"] as const).map((signal): Behaviour => ({
    name: `${signal} stops everything and exits with 0`,
    async run(context) {
      const stud = await echoing(context, ["-n", "2"]);
      const workers = stud.workers();
      assert.equal(workers.length, 2);
      assert.equal(await answers(stud), "hello");
      assert.deepEqual(await stud.stop(signal), { code: 0, signal: null });
      assert.ok(!workers.some(isAlive));
      const events = stud.logs.map((line) => line.event);
      assert.deepEqual(events.slice(events.indexOf("stopping")).filter(isOwn), [
        "stopping",
        "stopped",
      ]);
      assert.ok(!stud.logs.some((line) => line.level === "error"));
    },
  })),
  {
    name: "a second stud on the same port fails and does not disturb the first",
    async run(context) {
      const stud = await echoing(context, ["-n", "2"]);
      const load = startLoad(context, stud);
      const second = await launchStud(
        context.target,
        [context.certificates.localhost],
        { frontend: stud.frontend, backend: 9 },
      );
      context.after(() => second.destroy());
      const { code } = await within(second.exited, "the second stud's end");
      assert.equal(code, 1);
      assert.match(second.stderr, /^stud: .+\n$/);
      assert.ok(second.stderr.includes(String(stud.frontend.port)), second.stderr);
      const served = load.served;
      await until(() => load.served > served + 100, "the load goes on");
      await load.stop();
      assert.deepEqual(load.failures, []);
    },
  },
];

/** How many connections the load has open at a time. */
const LOAD = 8;

/** Milliseconds of `performance.now`. */
interface Span {
  readonly from: number;
  readonly to: number;
}

interface Load {
  served: number;
  readonly failures: (Span & { readonly code: string })[];
  stop(): Promise<unknown>;
}

/** Connects, asks and leaves, all the time. */
function startLoad(context: Context, stud: Stud): Load {
  let going = true;
  const load: Load = {
    served: 0,
    failures: [],
    stop() {
      going = false;
      return Promise.all(clients);
    },
  };
  const client = async () => {
    while (going) {
      const from = performance.now();
      try {
        assert.equal(await answers(stud), "hello");
        load.served++;
      } catch (error) {
        const { code, message } = error as Error & { code?: string };
        load.failures.push({ from, to: performance.now(), code: code ?? message });
      }
    }
  };
  const clients = Array.from({ length: LOAD }, client);
  context.after(() => load.stop());
  return load;
}

async function echoing(context: Context, args: readonly string[]): Promise<Stud> {
  return await context.stud(args, { backend: (await context.echo()).port });
}

async function answers(stud: Stud): Promise<string> {
  return String(await exchange(stud.frontend, "hello"));
}

function isOwn(event: string): boolean {
  return event === "stopping" || event === "stopped";
}
