/** Client affinity: where workers share no keys, clients return to the worker that has their session. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { isDeepStrictEqual } from "node:util";
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ClientOptions, openTcp } from "../support/client.ts";
import { run } from "../support/commands.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, endpointText, freeEndpoint } from "../support/endpoints.ts";
import { isAlive } from "../support/processes.ts";
import type { StartOptions, Stud } from "../support/stud.ts";
import { until, within } from "../support/until.ts";
import { reloaded } from "./reload.ts";
import { upgraded } from "./upgrade.ts";

const WORKERS = 2;
/** No other test listens on any of these addresses. */
const CLIENTS = Array.from({ length: 40 }, (_, i) => `127.9.${i}.${i + 1}`);

/** A network namespace whose sockets are allowed no memory for a BPF program. */
const NO_MEMORY = "/proc/sys/net/core/optmem_max";
const REFUSING = `ip link set lo up && echo 0 >${NO_MEMORY} && exec "$0" "$@"`;

export const affinity: readonly Behaviour[] = [
  {
    name: "a client is always routed to the same worker, and all workers have clients",
    async run(context) {
      const stud = await guiding(context);
      const first = await places(context, stud, CLIENTS);
      assert.equal(new Set(first.values()).size, WORKERS);
      for (let round = 0; round < 2; round++) {
        assert.deepEqual(await places(context, stud, CLIENTS), first);
      }
    },
  },
  {
    name: "IPv4 and IPv6 clients of a dual-stack frontend keep their workers",
    // A wildcard address: another test could take the port before it is used.
    alone: true,
    async run(context) {
      const backend = (await context.echo()).port;
      const { port } = await freeEndpoint("::");
      const stud = await guiding(context, [], { frontend: { host: "*", port }, backend });
      const visit = async (host: string, localAddress: string) =>
        await placeOf(context, stud, { host, localAddress }, { host, port });
      const round = async () =>
        await Promise.all([
          ...CLIENTS.slice(0, 24).map((client) => visit("127.0.0.1", client)),
          visit("::1", "::1"),
        ]);
      const first = await round();
      assert.ok(new Set(first).size > 1);
      for (let again = 0; again < 3; again++) assert.deepEqual(await round(), first);
    },
  },
  {
    name: "affinity survives the crash of a worker",
    appliesTo: ({ adoptSockets }) => adoptSockets,
    async run(context) {
      const stud = await guiding(context);
      const first = await places(context, stud, CLIENTS);
      const victim = stud.workers()[1]!;
      process.kill(victim, "SIGKILL");
      await until(
        () => !isAlive(victim) && stud.logged("worker-started").length === WORKERS + 1,
        "the successor of a killed worker serves",
      );
      // The worker that adopted the queue leaves it a moment later.
      const isAsBefore = async () => isDeepStrictEqual(await places(context, stud, CLIENTS), first);
      await until(isAsBefore, "all clients are routed to their workers again");
      assert.deepEqual(await places(context, stud, CLIENTS), first);
    },
  },
  {
    name: "affinity survives a reload, unless that turns it off, and new workers get their share",
    appliesTo: ({ adoptSockets }) => adoptSockets,
    async run(context) {
      const { stud, write } = await configured(context);
      const first = await places(context, stud, CLIENTS);
      write("idle-timeout = 50");
      await reloaded(stud);
      assert.deepEqual(await places(context, stud, CLIENTS), first);
      await until(() => stud.workers().length === WORKERS, "only the new workers are left");
      const workers = stud.workers();
      write("idle-timeout = 50", "affinity = off");
      await reloaded(stud);
      await balances(context, stud);
      write("idle-timeout = 50");
      await reloaded(stud);
      assert.deepEqual(await places(context, stud, CLIENTS), first);
      assert.deepEqual(stud.workers(), workers, "no worker is replaced for it");
      write(`workers = ${WORKERS + 1}`);
      await reloaded(stud);
      const more = await places(context, stud, CLIENTS);
      assert.equal(new Set(more.values()).size, WORKERS + 1);
      assert.deepEqual(await places(context, stud, CLIENTS), more);
    },
  },
  {
    name:
      "affinity survives a reload of workers that bind their own sockets, unless it is turned off",
    appliesTo: ({ adoptSockets }) => !adoptSockets,
    async run(context) {
      const { stud, write } = await configured(context);
      write("idle-timeout = 50");
      await reloaded(stud);
      const first = await places(context, stud, CLIENTS);
      assert.equal(new Set(first.values()).size, WORKERS);
      assert.deepEqual(await places(context, stud, CLIENTS), first);
      write("affinity = off");
      await reloaded(stud);
      await balances(context, stud);
    },
  },
  {
    name: "affinity survives SIGUSR2",
    fromSource: true,
    async run(context) {
      const { stud } = await configured(context);
      // The process whose log is read exits after its last connection closes.
      await context.tls(stud.frontend);
      await upgraded(context, stud, stud.pid);
      let first = await places(context, stud, CLIENTS);
      // Where workers have sockets of their own, the old ones leave the group a moment later.
      await until(async () => {
        const before = first;
        first = await places(context, stud, CLIENTS);
        return isDeepStrictEqual(first, before);
      }, "all clients are routed to their workers");
      assert.equal(new Set(first.values()).size, WORKERS);
      assert.deepEqual(await places(context, stud, CLIENTS), first);
    },
  },
  {
    name: "--affinity=off lets any worker serve a client, whatever the previous configuration said",
    async run(context) {
      const stud = await guiding(context, ["--affinity=off"]);
      await balances(context, stud);
    },
  },
  ...(["TLSv1.2", "TLSv1.3"] as const).map((version): Behaviour => ({
    name: `${version} sessions resume with ${WORKERS} workers`,
    async run(context) {
      const stud = await serving(context, ["-n", `${WORKERS}`]);
      for (const localAddress of CLIENTS.slice(0, 6)) {
        const versions = { localAddress, minVersion: version, maxVersion: version };
        const visit = async (session?: Buffer) => {
          const client = await context.tls(stud.frontend, {
            ...versions,
            ...(session && { session }),
          });
          client.write("hello");
          // Tickets arrive with the first answer at the latest.
          await within(once(client, "data"), "an answer");
          return client;
        };
        let client = await visit();
        for (let again = 0; again < 2; again++) {
          client = await visit(client.getSession());
          assert.ok(client.isSessionReused(), `again ${again}`);
        }
      }
    },
  })),
  ...(["-tls1_2", "-tls1_3"] as const).map((version): Behaviour => ({
    name: `openssl s_client ${version} resumes with ${WORKERS} workers`,
    needs: ["openssl"],
    async run(context) {
      const backend = await context.backend((socket) => socket.end("hello"));
      const stud = await context.stud(["-n", `${WORKERS}`], { backend: backend.port });
      const directory = mkdtempSync(join(context.certificates.directory, "sessions-"));
      for (const client of CLIENTS.slice(0, 4)) {
        const file = join(directory, client);
        const words = [version, "-connect", endpointText(stud.frontend), "-bind", `${client}:0`];
        const visit = async (...more: string[]) => {
          const all = ["s_client", ...words, "-ign_eof", "-sess_out", file, ...more];
          const { stdout, stderr } = await run("openssl", all);
          return /^(New|Reused), /m.exec(stdout)?.[1] ?? stderr;
        };
        assert.equal(await visit(), "New");
        for (let again = 0; again < 2; again++) {
          assert.equal(await visit("-sess_in", file), "Reused");
        }
      }
    },
  })),
  {
    name: "if the kernel refuses affinity, one warning says so, and workers serve",
    appliesTo: canRefuse,
    async run(context) {
      const command = ["unshare", "--net", "sh", "-c", REFUSING, ...context.target.command];
      const other = context.like({ ...context.target, command });
      const stud = await other.stud(["-n", `${WORKERS}`, "--affinity=on"], { backend: 1 });
      const isWarning = ({ message }: { readonly message: string }) =>
        message.includes("--affinity");
      const warning = await stud.waitForLog(isWarning, "the warning");
      assert.equal(warning.level, "warn");
      assert.match(warning.message, /the kernel refuses a BPF program .*\(\S.*\)/);
      assert.deepEqual(await stud.stop(), { code: 0, signal: null });
      assert.equal(stud.logs.filter(isWarning).length, 1);
    },
  },
  {
    name: "auto ends if one worker has nearly all connections for ten seconds, which is logged",
    appliesTo: ({ runtime }) => runtime !== "node",
    waits: true,
    async run(context) {
      const stud = await serving(context, ["-n", "2", "--affinity=auto"]);
      const ended = () => stud.logs.find(({ event }) => event === "affinity-ended");
      await until(
        async () => {
          const client = async () => (await openTcp(stud.frontend)).destroy();
          // One at a time, a busy machine would open too few of them in ten seconds.
          await Promise.all(Array.from({ length: 20 }, client));
          return ended();
        },
        "the end of affinity",
        120_000,
      );
      assert.match(ended()!.message, /^got \d+ % of the \d+ new connections .*--affinity=on/);
      // Workers with sockets of their own have not been notified yet.
      await until(() => isBalanced(context, stud), "one client is served by more than one worker");
    },
  },
];

/** Only root can create such a namespace, and older kernels have one limit for all of them. */
function canRefuse(): boolean {
  return spawnSync("unshare", ["--net", "test", "-w", NO_MEMORY]).status === 0;
}

/** Also on builds whose workers share ticket keys. */
async function guiding(
  context: Context,
  args: readonly string[] = [],
  options: Partial<StartOptions> = {},
): Promise<Stud> {
  return await serving(context, ["-n", `${WORKERS}`, "--affinity=on", ...args], options);
}

async function serving(
  context: Context,
  args: readonly string[],
  options: Partial<StartOptions> = {},
): Promise<Stud> {
  const backend = options.backend ?? (await context.echo()).port;
  return await context.stud(["-L", "2", ...args], { ...options, backend });
}

/** With a configuration file that `write` rewrites with these lines in addition to the usual ones. */
async function configured(context: Context) {
  const file = join(mkdtempSync(join(context.certificates.directory, "affinity-")), "stud.conf");
  const frontend = await freeEndpoint();
  const backend = (await context.echo()).port;
  const write = (...more: string[]) => {
    const lines = [
      `frontend = "[${frontend.host}]:${frontend.port}"`,
      `backend = "[127.0.0.1]:${backend}"`,
      `pem-file = "${context.certificates.localhost}"`,
      'log-format = "json"',
      "log-level = 2",
      ...[`workers = ${WORKERS}`, "affinity = on"].filter((line) =>
        !more.some((other) => other.split(" ")[0] === line.split(" ")[0])
      ),
      ...more,
    ];
    writeFileSync(file, lines.join("\n"));
  };
  write();
  const stud = await context.launch([`--config=${file}`], { backend, frontend, exact: true });
  await stud.waitForLog(({ event }) => event === "ready", "stud is ready");
  stud.workers();
  return { stud, write };
}

/** The worker of each client. */
async function places(
  context: Context,
  stud: Stud,
  clients: readonly string[],
): Promise<Map<string, unknown>> {
  const all = clients.map(async (localAddress) =>
    [localAddress, await placeOf(context, stud, { localAddress }, stud.frontend)] as const
  );
  return new Map(await Promise.all(all));
}

/** The worker that serves a connection. */
async function placeOf(
  context: Context,
  stud: Stud,
  options: ClientOptions & { readonly localAddress: string },
  endpoint: Endpoint,
): Promise<unknown> {
  // An earlier connection may have used the same port.
  const before = stud.logs.length;
  const client = await context.tls(endpoint, options);
  const { localAddress, localPort } = client;
  const name = localAddress!.includes(":")
    ? `[${localAddress}]:${localPort}`
    : `${localAddress}:${localPort}`;
  const line = await until(
    () =>
      stud.logs.slice(before).find(({ event, client }) =>
        event === "connection-established" && client === name
      ),
    `the connection of ${name}`,
  );
  client.destroy();
  return line!.worker;
}

/** Whether one client is served by more than one worker. */
async function balances(context: Context, stud: Stud): Promise<void> {
  assert.ok(await isBalanced(context, stud));
}

async function isBalanced(context: Context, stud: Stud): Promise<boolean> {
  const visits = Array.from(
    { length: 24 },
    () => placeOf(context, stud, { localAddress: CLIENTS[0]! }, stud.frontend),
  );
  return new Set(await Promise.all(visits)).size > 1;
}
