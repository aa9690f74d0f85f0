/** Master and workers: service, crashes, replacements, and a clean stop. */
import assert from "node:assert/strict";
import { exchange, openTcp, readAll } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Load, type Span, startLoad } from "../support/load.ts";
import { hold, isAlive, socketCount } from "../support/processes.ts";
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
      await Promise.all(
        Array.from({ length: 60 }, () => context.tls(stud.frontend)),
      );
      await until(
        () => workers.every((pid, i) => socketCount(pid) > idle[i]!),
        "each of three workers has some of 60 connections",
      );
    },
  },
  {
    name: "kill -9 of workers under load refuses no new connection",
    async run(context) {
      const stud = await echoing(context, ["-n", "2"]);
      const load = startLoad(context, stud.frontend, LOAD);
      const deaths: Span[] = [];
      for (const round of [0, 1, 0]) {
        await load.serves(20);
        const victim = stud.workers()[round]!;
        deaths.push(await kill(victim));
        await until(
          () => stud.logged("worker-started").length === 2 + deaths.length,
          "the successor of a killed worker serves",
        );
        await stud.waitForLog(
          (line) => line.event === "worker-exited" && line.pid === victim,
          "the dead worker is reported",
        );
      }
      await load.serves(200);
      await load.stop();
      assertOnlyLostWithTheirWorker(load, deaths);
    },
  },
  {
    name: "connections in the queue of a killed worker are served by its successor",
    fromSource: true,
    async run(context) {
      const stud = await echoing(context, ["-n", "1"]);
      const worker = stud.worker();
      await hold(worker);
      const waiting = await Promise.all(Array.from({ length: 8 }, () => openTcp(stud.frontend)));
      process.kill(worker, "SIGKILL");
      const served = await Promise.allSettled(waiting.map(async (socket) => {
        const client = await context.tls(stud.frontend, { socket });
        client.end("hello");
        assert.equal(String(await readAll(client)), "hello");
      }));
      if (context.target.adoptSockets) {
        assert.deepEqual(served.map((result) => result.status), new Array(8).fill("fulfilled"));
      }
      await until(() => stud.logged("worker-started").length === 2, "the successor serves");
      await answers(stud);
    },
  },
  {
    name: "connections in the queue of a hanging worker are served by another",
    waits: true,
    async run(context) {
      const stud = await echoing(context, ["-n", "2"]);
      const hanging = stud.workers()[0]!;
      await hold(hanging);
      // Without shared sockets no other worker can reach a queue; its connections wait for their worker.
      if (!context.target.adoptSockets) process.kill(hanging, "SIGCONT");
      const all = Array.from({ length: 24 }, () => answers(stud));
      assert.deepEqual(await Promise.all(all), new Array(24).fill("hello"));
    },
  },
  {
    name: "a queue is adopted again if its adopter dies",
    appliesTo: ({ adoptSockets }) => adoptSockets,
    waits: true,
    async run(context) {
      const stud = await echoing(context, ["-n", "2"]);
      const [hanging, adopter] = stud.workers();
      await hold(hanging!);
      await stud.waitForLog((line) => line.event === "slot-adopted", "the adoption");
      await kill(adopter!);
      const all = Array.from({ length: 24 }, () => answers(stud));
      assert.deepEqual(await Promise.all(all), new Array(24).fill("hello"));
    },
  },
  {
    name: "the pauses before a crashing worker is replaced grow, and its slot is still served",
    async run(context) {
      const stud = await echoing(context, ["-n", "2"]);
      const slot = stud.logs.find((line) => line.event === "worker-started")!.worker;
      const linesOf = (event: string) =>
        stud.logs.filter((line) => line.event === event && line.worker === slot);
      const load = startLoad(context, stud.frontend, LOAD);
      const deaths: Span[] = [];
      while (deaths.length < 5) {
        deaths.push(await kill(linesOf("worker-started").at(-1)!.pid as number));
        await until(
          () => linesOf("worker-started").length > deaths.length,
          `the start after death ${deaths.length}`,
        );
      }
      await load.serves(20);
      await load.stop();
      assertOnlyLostWithTheirWorker(load, deaths);
      const pauses = linesOf("worker-exited").map(({ message }) =>
        Number(/ in (\d+) ms/.exec(message)?.[1] ?? 0)
      );
      assert.deepEqual(pauses, [0, 100, 200, 400, 800]);
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
      const load = startLoad(context, stud.frontend, LOAD);
      const second = await launchStud(
        context.target,
        [context.certificates.localhost],
        { frontend: stud.frontend, backend: 9 },
      );
      context.after(() => second.destroy());
      const { code } = await within(second.exited, "the second stud exits");
      assert.equal(code, 1);
      assert.match(second.stderr, /^stud: .+\n$/);
      assert.ok(second.stderr.includes(String(stud.frontend.port)), second.stderr);
      await load.serves(100);
      await load.stop();
      assert.deepEqual(load.failures, []);
    },
  },
];

/** The number of concurrent connections of the load. */
const LOAD = 8;

async function kill(pid: number): Promise<Span> {
  const from = performance.now();
  process.kill(pid, "SIGKILL");
  await until(() => !isAlive(pid), "a killed worker is gone");
  return { from, to: performance.now() };
}

/** A killed worker's connections are lost; no other may fail, and none may be refused. */
function assertOnlyLostWithTheirWorker(load: Load, deaths: readonly Span[]): void {
  const others = load.failures.filter((failure) =>
    failure.code === "ECONNREFUSED" ||
    !deaths.some((death) => failure.from < death.to && failure.to > death.from)
  );
  assert.deepEqual(others, []);
  assert.ok(load.failures.length <= deaths.length * LOAD, `${load.failures.length} failed`);
}

/** All clients have one address, and must reach all workers. */
async function echoing(context: Context, args: readonly string[]): Promise<Stud> {
  return await context.stud(["--affinity=off", ...args], { backend: (await context.echo()).port });
}

async function answers(stud: Stud): Promise<string> {
  return String(await exchange(stud.frontend, "hello"));
}

function isOwn(event: string): boolean {
  return event === "stopping" || event === "stopped";
}
