/** SIGHUP: a new configuration without a restart. */
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { exchange as exchangeOnce, openTcp, readAll } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, freeEndpoint } from "../support/endpoints.ts";
import { hold, isAlive } from "../support/processes.ts";
import type { Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";

/** Minimum time from one reload to the next. */
const RELOAD_INTERVAL_MS = 1000;

export const reload: readonly Behaviour[] = [
  {
    name: "a new certificate is served after SIGHUP, and open connections continue",
    async run(context) {
      const { stud, pem, serves } = await reloadable(context);
      const before = await context.tls(stud.frontend, { servername: "a.example" });
      assert.equal(before.getPeerCertificate().subject.CN, "a");
      const workers = stud.workers();
      copyFileSync(context.certificates.a2, pem);
      await reloaded(stud);
      assert.equal(await serves("a.example"), "a2");
      // Where certificates can be exchanged in place, the workers stay.
      if (context.target.swapCertificates) assert.deepEqual(stud.workers(), workers);
      before.write("still here");
      await until(() => String(before.read() ?? "") === "still here", "the old connection's echo");
    },
  },
  {
    name: "an invalid certificate changes nothing and is logged",
    async run(context) {
      const { stud, pem, serves } = await reloadable(context);
      writeFileSync(pem, "roses are red\n");
      stud.signal("SIGHUP");
      const failure = await stud.waitForLog(
        (line) => line.event === "reload-failed",
        "a failed reload",
      );
      assert.ok(failure.message.includes(pem), failure.message);
      assert.equal(await serves("a.example"), "a");
    },
  },
  {
    name: "another backend is used after SIGHUP",
    async run(context) {
      const { stud, write, exchange } = await reloadable(context);
      const other = await context.backend((socket) => socket.end("the other one"));
      write({ backend: other.port });
      await reloaded(stud);
      // An old worker accepts connections until it has received the drain command.
      const answer = async () => String(await exchange(stud.frontend, ""));
      await until(async () => await answer() === "the other one", "the other backend's answer");
    },
  },
  {
    name: "SIGHUP adds and removes frontends",
    async run(context) {
      const { stud, write, exchange } = await reloadable(context);
      const second = await freeEndpoint();
      write({ frontends: [second] });
      await reloaded(stud);
      assert.equal(String(await exchange(second, "hello")), "hello");
      await until(
        () => exchangeOnce(stud.frontend, "hello").then(() => false, () => true),
        "the removed frontend refuses",
      );
    },
  },
  {
    name: "SIGHUP raises and lowers the number of workers, and every queue is served",
    fromSource: true,
    waits: true,
    async run(context) {
      const { stud, write, exchange } = await reloadable(context);
      for (const workers of [3, 1]) {
        write({ workers });
        await reloaded(stud);
        await until(() => stud.workers().length === workers, `${workers} workers`);
        const answers = Array.from({ length: 24 }, () => exchange(stud.frontend, "hello"));
        for (const answer of await Promise.all(answers)) assert.equal(String(answer), "hello");
      }
      const second = await freeEndpoint();
      write({ workers: 1, frontends: [stud.frontend, second] });
      await reloaded(stud);
      for (const endpoint of [stud.frontend, second]) {
        assert.equal(String(await exchange(endpoint, "hello")), "hello");
      }
    },
  },
  {
    name: "workers of an old configuration exit after their last connection closes",
    async run(context) {
      const { stud, write } = await reloadable(context);
      const client = await context.tls(stud.frontend);
      const [old] = stud.workers();
      write({ workers: 2 });
      await reloaded(stud);
      client.write("hello");
      await until(() => String(client.read() ?? "") === "hello", "the echo of the old worker");
      assert.ok(isAlive(old!));
      client.end();
      await until(() => !isAlive(old!), "the old worker's exit");
      await stud.waitForLog((line) => line.event === "generation-ended", "the generation's end");
    },
  },
  {
    name: "a syntax error in the file changes nothing, and its line is logged",
    async run(context) {
      const { stud, file, exchange } = await reloadable(context);
      writeFileSync(file, "frontend = {\n  nonsense\n}\n");
      stud.signal("SIGHUP");
      const failure = await stud.waitForLog(
        (line) => line.event === "reload-failed",
        "a failed reload",
      );
      assert.ok(failure.message.includes(`${file}:2`), failure.message);
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
    },
  },
  {
    name: "another client-verify policy applies after SIGHUP",
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const { stud, write } = await reloadable(context);
      const more = `client-verify = required\nclient-verify-ca = "${context.certificates.ca}"\n`;
      write({ more });
      await reloaded(stud);
      await assert.rejects(async () => {
        const answer = await exchangeOnce(stud.frontend, "hello");
        if (String(answer) !== "hello") throw new Error("no answer");
      });
    },
  },
  {
    name:
      "ten signals at once cause few reloads, a second apart, and the last configuration is used",
    waits: true,
    async run(context) {
      const { stud, write, exchange } = await reloadable(context);
      for (const workers of [2, 1, 2, 1, 2, 1, 2, 1, 2, 3]) {
        write({ workers });
        stud.signal("SIGHUP");
      }
      await until(() => stud.logged("reloaded").at(-1)?.workers === 3, "the last configuration");
      // Usually two; more if the machine stalls meanwhile.
      const times = stud.logged("reloading").map(({ time }) => Date.parse(time));
      assert.ok(times.length < 10, `${times.length} reloads`);
      for (const [i, time] of times.slice(1).entries()) {
        // A timer may fire slightly early.
        assert.ok(time - times[i]! >= RELOAD_INTERVAL_MS - 20, `${times}`);
      }
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
    },
  },
  {
    name: "connections waiting at a frontend that a reload removes are served",
    appliesTo: ({ adoptSockets }) => adoptSockets,
    async run(context) {
      const { stud, write } = await reloadable(context);
      const second = await freeEndpoint();
      write({ frontends: [stud.frontend, second] });
      await reloaded(stud);
      await until(() => stud.workers().length === 1, "the new worker alone");
      const worker = stud.worker();
      await hold(worker);
      const waiting = await Promise.all(Array.from({ length: 4 }, () => openTcp(second)));
      write({});
      stud.signal("SIGHUP");
      await until(
        () => openTcp(second).then((socket) => void socket.destroy(), () => true),
        "new connections are refused",
      );
      process.kill(worker, "SIGCONT");
      for (const socket of waiting) {
        const client = await context.tls(second, { socket });
        client.end("hello");
        assert.equal(String(await readAll(client)), "hello");
      }
    },
  },
  {
    name: "--reload-drain-timeout cuts the connections of an old configuration",
    async run(context) {
      const { stud, write } = await reloadable(context);
      const client = await context.tls(stud.frontend);
      const [old] = stud.workers();
      write({ workers: 2, more: "reload-drain-timeout = 0.5" });
      await reloaded(stud);
      await until(() => client.destroyed || client.readableEnded || !isAlive(old!), "the cut");
      await until(() => !isAlive(old!), "the old worker's exit");
      await stud.waitForLog((line) => line.event === "generation-cut", "the cut in the log");
    },
  },
  {
    name: "--max-generations: a reload waits until an older generation has ended",
    waits: true,
    async run(context) {
      const { stud, write } = await reloadable(context);
      const client = await context.tls(stud.frontend);
      write({ workers: 2, more: "max-generations = 2" });
      await reloaded(stud);
      assert.equal(stud.logged("reloaded").at(-1)!.older, 1);
      write({ workers: 3, more: "max-generations = 2" });
      stud.signal("SIGHUP");
      const waits = await stud.waitForLog((line) => line.event === "reload-waits", "it waits");
      assert.equal(waits.limit, 2);
      assert.equal(stud.logged("reloaded").length, 1);
      client.end();
      await until(() => stud.logged("reloaded").at(-1)!.workers === 3, "the reload");
    },
  },
];

interface Variables {
  readonly backend?: number;
  readonly frontends?: readonly Endpoint[];
  readonly workers?: number;
  readonly more?: string;
}

export async function reloadable(context: Context) {
  const directory = mkdtempSync(join(context.certificates.directory, "reload-"));
  const file = join(directory, "stud.conf");
  const pem = join(directory, "site.pem");
  copyFileSync(context.certificates.a, pem);
  const frontend = await freeEndpoint();
  const backend = (await context.echo()).port;
  const write = (variables: Variables) => {
    const { frontends = [frontend], workers = 1, more = "" } = variables;
    const lines = [
      ...frontends.map(({ host, port }) => `frontend = "[${host}]:${port}"`),
      `backend = "[127.0.0.1]:${variables.backend ?? backend}"`,
      `pem-file = "${pem}"`,
      `workers = ${workers}`,
      'log-format = "json"',
      more,
    ];
    writeFileSync(file, lines.join("\n"));
  };
  write({});
  const stud = await context.launch([`--config=${file}`], { backend, frontend, exact: true });
  await stud.waitForLog((line) => line.event === "ready", "stud is ready");
  stud.workers();
  const patiently = <T>(action: () => Promise<T>) => {
    if (context.target.adoptSockets) return action();
    // Workers that bind their own sockets lose their queues when they stop listening.
    return until(() => action().catch(() => undefined), "an answer") as Promise<T>;
  };
  const serves = (servername: string) =>
    patiently(async () => {
      const client = await context.tls(frontend, { servername });
      return client.getPeerCertificate().subject.CN;
    });
  const exchange = (endpoint: Endpoint, text: string) =>
    patiently(() => exchangeOnce(endpoint, text));
  return { stud, file, pem, write, serves, exchange };
}

/** Sends SIGHUP and waits until it has taken effect. */
export async function reloaded(stud: Stud): Promise<void> {
  const count = () => stud.logged("reloaded").length;
  const before = count();
  stud.signal("SIGHUP");
  await until(() => {
    const failure = stud.logs.find((line) => line.event === "reload-failed");
    if (failure) throw new Error(failure.message);
    return count() > before;
  }, "the reload");
}
