/** What is logged, and how often, about a backend that cannot be connected. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, renameSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { ending, exchange, openTls } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, endpointText, freeEndpoint } from "../support/endpoints.ts";
import { socketCount } from "../support/processes.ts";
import type { LogLine, Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";

const CLIENTS = 30;

export const outages: readonly Behaviour[] = [
  {
    name: "an outage of the backend is logged once, and its end with what the outage cost",
    async run(context) {
      const backend = await freeEndpoint();
      const stud = await context.stud([], { backend });
      await fail(stud, CLIENTS);
      await listen(context, backend);
      const back = await recovered(stud);
      assert.equal(back.level, "info");
      assert.equal(back.count, CLIENTS);
      assert.equal(back.backend, endpointText(backend));
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      await stud.stop();
      assert.deepEqual(events(stud), ["backend-down", "backend-recovered"]);
      const [down] = stud.logs.filter((line) => line.event === "backend-down");
      const { level, source, code, cause } = down!;
      assert.deepEqual({ level, source, code, cause, backend: down!.backend }, {
        ...{ level: "warn", source: "backend", code: "backend-refused" },
        ...{ cause: "connection refused", backend: endpointText(backend) },
      });
    },
  },
  {
    name: "several workers log an outage, and its end, once",
    async run(context) {
      const backend = await freeEndpoint();
      const stud = await context.stud(["-n", "3", "--affinity=off"], { backend });
      await fail(stud, CLIENTS);
      await listen(context, backend);
      for (let i = 0; i < CLIENTS; i++) {
        assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      }
      await recovered(stud);
      await stud.stop();
      assert.deepEqual(events(stud), ["backend-down", "backend-recovered"]);
    },
  },
  {
    name: "an outage is logged again when its reason changes",
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "outage-"));
      const path = join(directory, "backend.sock");
      const frontend = await freeEndpoint();
      const words = [
        `--frontend=${frontend.host},${frontend.port}`,
        `--backend=${path}`,
        "-n",
        "1",
      ];
      const stud = await context.launch(
        [...words, "--log-format=json", context.certificates.localhost],
        { backend: 1, frontend, exact: true },
      );
      await stud.waitForLog((line) => line.event === "ready", "stud is ready");
      await fail(stud, 3);
      // A socket file without a listener.
      const server = createServer().listen(join(directory, "other.sock"));
      await once(server, "listening");
      renameSync(join(directory, "other.sock"), path);
      await new Promise((closed) => server.close(closed));
      await fail(stud, 3);
      await stud.waitForLog((line) => line.code === "backend-refused", "the other reason");
      await stud.stop();
      assert.deepEqual(stud.failures(), ["backend backend-unreachable", "backend backend-refused"]);
    },
  },
  {
    name: "at level 2 each failed connect is logged as well",
    async run(context) {
      const stud = await context.stud(["-L", "2"], { backend: await freeEndpoint() });
      await fail(stud, CLIENTS);
      await stud.stop();
      const failed = stud.logs.filter((line) => line.event === "connection-failed");
      assert.equal(failed.length, CLIENTS);
      assert.deepEqual(events(stud).filter((event) => event === "backend-down").length, 1);
    },
  },
  {
    name: "--quiet does not log an outage",
    async run(context) {
      const stud = await context.launch(["-q"], { backend: await freeEndpoint() });
      const client = await until(
        () => openTls(stud.frontend).catch(() => undefined),
        "stud serves",
      );
      assert.equal(await ending(client!), "end");
      client!.destroy();
      await stud.stop();
      assert.equal(stud.stderr, "");
    },
  },
];

/** Sequential clients that are closed cleanly; fulfilled when the workers have closed them all. */
async function fail(stud: Stud, clients: number): Promise<void> {
  const sockets = () => stud.workers().reduce((sum, pid) => sum + socketCount(pid), 0);
  const idle = sockets();
  for (let i = 0; i < clients; i++) {
    const client = await openTls(stud.frontend);
    assert.equal(await ending(client), "end");
    client.destroy();
  }
  await until(() => sockets() === idle, "the workers have closed all clients");
}

/**
 * The line about the backend's recovery. An answer that reaches the master together with the last
 * failure can look older than it; then the next answer counts.
 */
async function recovered(stud: Stud): Promise<LogLine> {
  const line = await until(async () => {
    assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
    return stud.logs.find(({ event }) => event === "backend-recovered");
  }, "the backend's recovery");
  return line!;
}

/** Echoes at this address from now on. */
async function listen(context: Context, { host, port }: Endpoint): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {}).pipe(socket);
  });
  server.listen(port, host);
  await once(server, "listening");
  context.after(() => server.close());
}

/** Of backends and connections. */
function events(stud: Stud): string[] {
  return stud.logs.map(({ event }) => event).filter((event) =>
    /^(backend|connection)-/.test(event)
  );
}
