/** Stops, and exits of workers: open connections are not cut. */
import assert from "node:assert/strict";
import type { TLSSocket } from "node:tls";
import { exchange, openTcp, readAll } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { isFree } from "../support/endpoints.ts";
import { hold, isAlive } from "../support/processes.ts";
import { launchStud, type Stud } from "../support/stud.ts";
import { until, within } from "../support/until.ts";

export const drain: readonly Behaviour[] = [
  ...(["SIGTERM", "SIGQUIT", "SIGINT"] as const).map((signal): Behaviour => ({
    name: `${signal}: open connections continue, new ones are refused, and the exit code is 0`,
    async run(context) {
      const { stud, clients } = await busy(context, ["-n", "2"], 8);
      stud.signal(signal);
      await stud.waitForLog((line) => line.event === "stopping", "the stop");
      await until(() => isRefused(stud), "new connections are refused");
      for (const client of clients) assert.equal(await echo(client, "still here"), "still here");
      for (const client of clients) client.end("good bye");
      for (const client of clients) assert.equal(String(await readAll(client)), "good bye");
      assert.deepEqual(await within(stud.exited, "the end"), { code: 0, signal: null });
      assert.equal(stopped(stud), 0);
    },
  })),
  {
    name: "a stop cuts connections that are open after --drain-timeout, with exit code 3",
    async run(context) {
      const { stud } = await busy(context, ["-n", "2", "--drain-timeout=0.5"], 3);
      assert.deepEqual(await stud.stop(), { code: 3, signal: null });
      assert.equal(stopped(stud), 3);
    },
  },
  {
    name: "a second signal cuts at once, with exit code 3",
    async run(context) {
      const { stud } = await busy(context, [], 2);
      stud.signal("SIGTERM");
      // Not by a probing connection, which could be one more to cut.
      await stud.waitForLog((line) => line.event === "stopping", "the stop");
      assert.deepEqual(await stud.stop("SIGINT"), { code: 3, signal: null });
      assert.equal(stopped(stud), 2);
    },
  },
  {
    name: "--drain-timeout=0 does not wait; the exit code shows whether a connection was cut",
    async run(context) {
      const idle = await busy(context, ["--drain-timeout=0"], 0);
      assert.deepEqual(await idle.stud.stop(), { code: 0, signal: null });
      const { stud } = await busy(context, ["--drain-timeout=0"], 1);
      assert.deepEqual(await stud.stop(), { code: 3, signal: null });
    },
  },
  {
    name: "connections waiting in the queue at a stop are served",
    async run(context) {
      const { stud } = await busy(context, ["-n", "2"], 0);
      await Promise.all(stud.workers().map(hold));
      const waiting = await Promise.all(Array.from({ length: 8 }, () => openTcp(stud.frontend)));
      stud.signal("SIGTERM");
      await stud.waitForLog((line) => line.event === "stopping", "the stop");
      for (const worker of stud.workers()) process.kill(worker, "SIGCONT");
      const served = waiting.map(async (socket) => {
        const client = await context.tls(stud.frontend, { socket });
        client.end("hello");
        return String(await readAll(client));
      });
      assert.deepEqual(await Promise.all(served), new Array(8).fill("hello"));
      assert.deepEqual(await within(stud.exited, "the end"), { code: 0, signal: null });
    },
  },
  {
    name: "SIGTERM to a worker replaces it: its connections continue, and none is refused",
    fromSource: true,
    async run(context) {
      const { stud, clients: [client] } = await busy(context, [], 1);
      const worker = stud.worker();
      process.kill(worker, "SIGTERM");
      await until(() => stud.workers().length === 2, "a successor");
      await until(
        () => stud.logs.filter((line) => line.event === "worker-started").length === 2,
        "the successor serves",
      );
      assert.equal(String(await patiently(context, stud)), "hello");
      assert.equal(await echo(client!, "still here"), "still here");
      client!.end();
      await until(() => !isAlive(worker), "the worker's exit");
      assert.ok(!stud.logs.some((line) => line.event === "worker-exited"), "it is no crash");
    },
  },
  {
    name: "kill -9 of the master: connections continue, and another stud can replace it at once",
    fromSource: true,
    async run(context) {
      const { stud, clients } = await busy(context, ["-n", "2"], 6);
      const workers = stud.workers();
      stud.signal("SIGKILL");
      await until(() => !isAlive(stud.pid), "the master's exit");
      await until(() => isFree(stud.frontend), "a free port");
      const backend = (await context.echo()).port;
      const second = await context.stud([], { backend, frontend: stud.frontend });
      assert.equal(String(await exchange(second.frontend, "hello")), "hello");
      for (const client of clients) assert.equal(await echo(client, "still here"), "still here");
      for (const client of clients) client.end();
      await until(() => !workers.some(isAlive), "the workers' exit");
    },
  },
  {
    name: "--watchdog kills a worker that hangs, and another one serves",
    waits: true,
    async run(context) {
      const { stud } = await busy(context, ["--watchdog=5"], 0);
      const worker = stud.worker();
      process.kill(worker, "SIGSTOP");
      const exit = await stud.waitForLog((line) => line.event === "worker-exited", "its exit");
      assert.equal(exit.hung, true);
      assert.match(exit.message, new RegExp(`pid ${worker} .*watchdog`));
      assert.equal(String(await patiently(context, stud)), "hello");
    },
  },
  {
    name: "the terminal's signals do not affect workers",
    fromSource: true,
    async run(context) {
      const { stud } = await busy(context, [], 0);
      const worker = stud.worker();
      for (const signal of ["SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2"]) {
        process.kill(worker, signal);
        assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      }
      assert.equal(stud.worker(), worker);
    },
  },
  {
    name: "SIGTERM to master and workers, as service managers send it, is one stop",
    async run(context) {
      const stud = await context.stud(["-n", "2"], { backend: (await context.echo()).port });
      const workers = stud.workers();
      // None of them can exit before its own signal.
      await Promise.all(workers.map(hold));
      stud.signal("SIGTERM");
      await stud.waitForLog(({ event }) => event === "stopping", "the stop");
      for (const pid of workers) process.kill(pid, "SIGTERM");
      for (const pid of workers) process.kill(pid, "SIGCONT");
      assert.equal((await stud.exited).code, 0);
      const events = stud.logs.map(({ event }) => event);
      assert.equal(events.filter((event) => event === "worker-started").length, 2);
      assert.deepEqual(events.slice(-2), ["stopping", "stopped"]);
    },
  },
  {
    name: "a stop during the start leaves no process",
    fromSource: true,
    async run(context) {
      const backend = (await context.echo()).port;
      const stud = await launchStud(context.target, ["-n", "2", context.certificates.localhost], {
        backend,
      });
      context.after(() => stud.destroy());
      await until(() => stud.workers().length > 0, "the first worker");
      const { code } = await stud.stop();
      assert.equal(code, 0);
      assert.deepEqual(stud.survivors(), []);
    },
  },
];

/** Starts a stud with `count` open connections, each of which has received an echo. */
async function busy(context: Context, args: readonly string[], count: number) {
  // They have one address and must be distributed to all workers.
  const words = ["--affinity=off", ...args];
  const stud = await context.stud(words, { backend: (await context.echo()).port });
  const clients = await Promise.all(
    Array.from({ length: count }, () => context.tls(stud.frontend)),
  );
  for (const client of clients) assert.equal(await echo(client, "hello"), "hello");
  return { stud, clients };
}

async function echo(client: TLSSocket, text: string): Promise<string> {
  client.write(text);
  let answer = "";
  await until(() => (answer += String(client.read() ?? "")).length >= text.length, "an echo");
  return answer;
}

/** Retries where workers bind their own sockets, whose queues are lost with the worker. */
function patiently({ target }: Context, { frontend }: Stud): Promise<unknown> {
  if (target.adoptSockets) return exchange(frontend, "hello");
  return until(() => exchange(frontend, "hello").catch(() => undefined), "an answer");
}

async function isRefused({ frontend }: Stud): Promise<boolean> {
  try {
    (await openTcp(frontend)).destroy();
    return false;
  } catch (error) {
    return (error as { code?: string }).code === "ECONNREFUSED";
  }
}

/** Returns the number of connections that were cut, from the log. */
function stopped({ logs }: Stud): unknown {
  return logs.find((line) => line.event === "stopped")?.cut;
}
