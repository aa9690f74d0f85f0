/** Session tickets: which clients resume their sessions, where, and for how long. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import { randomSecret } from "../../src/tickets/ring.ts";
import { needs, refuses } from "../support/capability.ts";
import { run } from "../support/commands.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, freeEndpoint } from "../support/endpoints.ts";
import { isAlive, socketCount } from "../support/processes.ts";
import { runStud, type Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";
import { upgraded } from "./upgrade.ts";
import {
  opensslOutput,
  opensslVisit,
  type Version,
  VERSIONS,
  visit,
  withTicket,
} from "../support/visits.ts";

export const tickets: readonly Behaviour[] = [
  ...VERSIONS.flatMap((version): Behaviour[] => [
    {
      name: `a session of ${version} resumes on every worker`,
      appliesTo: ({ ticketKeys }) => ticketKeys,
      async run(context) {
        const stud = await context.stud(["-n", "3"], { backend: (await greeting(context)).port });
        const { session } = await visit(stud.frontend, version);
        await resumesAtAll(context, stud, version, session);
      },
    },
    {
      name: `a session of ${version} outlives its worker, and a reload with new workers`,
      appliesTo: ({ ticketKeys }) => ticketKeys,
      async run(context) {
        const { stud, reload } = await configured(context);
        const { session } = await visit(stud.frontend, version);
        const [worker] = stud.workers();
        process.kill(worker!, "SIGKILL");
        // Sockets are counted, and a starting worker has not opened all of its own yet.
        await until(() => stud.logged("worker-started").length === 3, "the successor serves");
        await resumesAtAll(context, stud, version, session);
        await reload("keepalive = 77");
        await resumesAtAll(context, stud, version, session);
      },
    },
    {
      name: `a session of ${version} outlives an upgrade`,
      appliesTo: ({ ticketKeys }) => ticketKeys,
      async run(context) {
        const { stud } = await configured(context);
        const { session } = await visit(stud.frontend, version);
        stud.signal("SIGUSR2");
        await upgraded(context, stud, stud.pid);
        await until(() => !isAlive(stud.pid), "the first master exits");
        assert.equal((await visit(stud.frontend, version, session)).isReused, true);
      },
    },
    {
      name:
        `--ticket-secret-file: a session of ${version} resumes on other machines and after a restart`,
      async run(context) {
        const { path, word } = secretFile(context);
        if (!context.target.ticketKeys) return await refuses(context, "ticketKeys", [word]);
        const backend = (await greeting(context)).port;
        const frontend = await freeEndpoint();
        const first = await context.stud([word], { backend, frontend });
        const { session } = await visit(frontend, version);
        const other = await context.stud([word], { backend });
        assert.equal((await visit(other.frontend, version, session)).isReused, true);
        await first.stop();
        await context.stud([`--ticket-secret-file=${path}`], { backend, frontend });
        assert.equal((await visit(frontend, version, session)).isReused, true);
        const stranger = await context.stud([secretFile(context).word], { backend });
        assert.equal((await visit(stranger.frontend, version, session)).isReused, false);
      },
    },
    {
      name: `a reload loads a new secret, and earlier sessions of ${version} still resume`,
      appliesTo: ({ ticketKeys }) => ticketKeys,
      async run(context) {
        const { path, word, change } = secretFile(context);
        const { stud, reload } = await configured(context, `ticket-secret-file = "${path}"`);
        const { session } = await visit(stud.frontend, version);
        const workers = stud.workers();
        change();
        await reload();
        assert.deepEqual(stud.workers(), workers, "no new workers are needed for it");
        await resumesAtAll(context, stud, version, session);
        const later = await visit(stud.frontend, version);
        const other = await context.stud([word], { backend: (await greeting(context)).port });
        assert.equal((await visit(other.frontend, version, later.session)).isReused, true);
        assert.equal((await visit(other.frontend, version, session)).isReused, false);
      },
    },
    {
      name: `a client of ${version} that returns in time always resumes despite rotations`,
      appliesTo: ({ ticketKeys }) => ticketKeys,
      waits: true,
      async run(context) {
        const words = ["--ticket-rotation=4", "--session-timeout=4", "-n", "2"];
        const stud = await context.stud(words, { backend: (await greeting(context)).port });
        const begin = performance.now();
        const client = async () => {
          let born = begin;
          let { session } = await visit(stud.frontend, version);
          // Over several rotations, always with the newest session.
          while (performance.now() - begin < 11_000) {
            const now = performance.now();
            const next = await visit(stud.frontend, version, session);
            // OpenSSL counts a session's lifetime in whole seconds.
            const age = performance.now() - born;
            if (!next.isReused) assert.ok(age > 3000, `after ${age} ms`);
            if (!next.isReused) born = now;
            session = next.session;
            // Without a pause, four clients would keep a processor busy all the time.
            await pause(20);
          }
        };
        await Promise.all([1, 2, 3, 4].map(client));
      },
    },
    {
      name: `--tickets=off: a session of ${version} does not resume, and no ticket is sent`,
      needs: ["openssl"],
      async run(context) {
        const backend = (await greeting(context)).port;
        const stud = await context.stud(["--tickets=off"], { backend });
        const { session } = await visit(stud.frontend, version);
        assert.equal((await visit(stud.frontend, version, session)).isReused, false);
        const said = await opensslOutput(stud.frontend, `-tls1_${version.at(-1)}`);
        const gets = context.target.runtime === "deno" && version === "TLSv1.3";
        // rustls cannot be kept from it.
        assert.equal(/TLS session ticket:/.test(said), gets, said);
        const isWarned = /--tickets=off: the Deno build still sends two tickets/.test(stud.stderr);
        assert.equal(isWarned, context.target.runtime === "deno");
      },
    },
    {
      name: `--session-timeout: a session of ${version} does not resume after it`,
      waits: true,
      async run(context) {
        const backend = (await greeting(context)).port;
        const option = "--session-timeout=6";
        await needs(context, "sessionTimeout", option, async (stud) => {
          const { session } = await visit(stud.frontend, version);
          assert.equal((await visit(stud.frontend, version, session)).isReused, true);
          const isOver = async () => !(await visit(stud.frontend, version, session)).isReused;
          await until(isOver, "the session expires");
        }, { backend });
      },
    },
    {
      name: `a tampered ticket of ${version} is ignored and does no harm`,
      // rustls keeps sessions of TLS 1.2 itself instead.
      appliesTo: ({ runtime }) => runtime !== "deno" || version !== "TLSv1.2",
      async run(context) {
        const backend = (await greeting(context)).port;
        const stud = await context.stud([], { backend });
        const { session } = await visit(stud.frontend, version);
        const damages: [string, (ticket: Buffer) => Buffer][] = [
          ["its first byte", (ticket) => flipped(ticket, 0)],
          ["a byte in its middle", (ticket) => flipped(ticket, ticket.length >> 1)],
          ["its last byte", (ticket) => flipped(ticket, ticket.length - 1)],
          ["cut", (ticket) => ticket.subarray(0, -1)],
          ["cut to the key name", (ticket) => ticket.subarray(0, 16)],
          ["one byte", (ticket) => ticket.subarray(0, 1)],
          ["prolonged", (ticket) => Buffer.concat([ticket, Buffer.alloc(100)])],
          ["extended by 10,000 bytes", (ticket) => Buffer.concat([ticket, Buffer.alloc(10_000)])],
        ];
        for (const [what, change] of damages) {
          const { isReused } = await visit(stud.frontend, version, withTicket(session, change));
          assert.equal(isReused, false, what);
        }
      },
    },
  ]),
  {
    name: "tickets of TLSv1.3 come before the backend's first byte, with BoringSSL only after it",
    async run(context) {
      const backend = await context.backend((socket) => {
        socket.on("error", () => {}).once("data", () => socket.write("welcome"));
      });
      const stud = await context.stud(["-n", "1"], { backend: backend.port });
      const client = await context.tls(stud.frontend, { minVersion: "TLSv1.3" });
      const events: string[] = [];
      client.on("session", () => events.push("ticket")).on("data", () => events.push("data"));
      // A client that waits for its ticket would wait in vain.
      const waits = context.target.runtime !== "bun";
      if (waits) await until(() => events.includes("ticket"), "a ticket");
      client.write("hello");
      await until(() => events.includes("data") && events.includes("ticket"), "both");
      assert.equal(events[0], "ticket");
    },
  },
  {
    name: "openssl and curl resume on every worker",
    needs: ["openssl", "curl"],
    appliesTo: ({ ticketKeys }) => ticketKeys,
    async run(context) {
      const stud = await context.stud(["-n", "2"], { backend: (await greeting(context)).port });
      const file = join(mkdtempSync(join(context.certificates.directory, "sessions-")), "session");
      for (const version of ["-tls1_2", "-tls1_3"]) {
        assert.equal(await opensslVisit(stud.frontend, version, "-sess_out", file), "New");
        for (let i = 0; i < 6; i++) {
          assert.equal(await opensslVisit(stud.frontend, version, "-sess_in", file), "Reused");
        }
      }
      const { host, port } = stud.frontend;
      // The backend closes each connection, so that curl has to reconnect.
      const urls = Array(4).fill(`https://${host}:${port}/`);
      const http = ["--http0.9", "--insecure", "--silent", "--verbose", "--tls-max", "1.2"];
      const { stderr } = await run("curl", [...http, ...urls]);
      assert.equal(stderr.match(/SSL re-?using session/g)?.length, 3, stderr);
    },
  },
  {
    name: "a session of an unverified client does not resume where clients are verified",
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const { ca, localhost } = context.certificates;
      const frontends = [await freeEndpoint(), await freeEndpoint()];
      const block = ({ host, port }: Endpoint, more: string) =>
        `frontend = { host = "${host}" port = "${port}" ${more} }`;
      const verified = `client-verify = required client-verify-ca = "${ca}"`;
      const file = configuration(context, [
        block(frontends[0]!, ""),
        block(frontends[1]!, verified),
        `backend = "[127.0.0.1]:${(await greeting(context)).port}"`,
        `pem-file = "${localhost}"`,
        "log-format = json",
        // Where workers share no keys, a client may return to another one.
        "workers = 1",
      ]);
      const options = { backend: 0, exact: true, frontend: frontends[0]! };
      const stud = await context.stud([`--config=${file}`], options);
      for (const version of VERSIONS) {
        const { session } = await visit(frontends[0]!, version);
        await assert.rejects(visit(frontends[1]!, version, session));
        const own = await visit(frontends[1]!, version, session, clientOf(context));
        assert.equal(own.isReused, false);
        const back = await visit(frontends[1]!, version, own.session, clientOf(context));
        assert.equal(back.isReused, true);
        assert.equal((await visit(frontends[0]!, version, own.session)).isReused, false);
      }
      await until(() => stud.failures().length === 2, "the refusals are logged");
    },
  },
  {
    name: "--new-ticket-secret prints a usable secret",
    async run(context) {
      const printed = await Promise.all([1, 2].map(() => runStud(context.target, NEW_SECRET)));
      const [first, second] = printed.map(({ stdout }) => stdout);
      assert.match(first!, /^[A-Za-z0-9+/]{43}=\n$/);
      assert.notEqual(first, second);
      const { path, word } = secretFile(context);
      if (!context.target.ticketKeys) return;
      writeFileSync(path, first!);
      const { code, stderr } = await runStud(context.target, testing(context, word));
      assert.equal(code, 0, stderr);
    },
  },
  {
    name: "a secret that others can read, or that is invalid, is reported in one line",
    appliesTo: ({ ticketKeys }) => ticketKeys,
    async run(context) {
      const { path, word } = secretFile(context);
      chmodSync(path, 0o644);
      const { code, stderr } = await runStud(context.target, testing(context, word));
      assert.equal(code, 1);
      assert.equal(
        stderr,
        `stud: --ticket-secret-file: ${path}: others can read it; restrict it with: chmod 600 ${path}\n`,
      );
    },
  },
  {
    name: "an invalid secret at a reload changes nothing",
    appliesTo: ({ ticketKeys }) => ticketKeys,
    async run(context) {
      const { path } = secretFile(context);
      const { stud } = await configured(context, `ticket-secret-file = "${path}"`);
      const { session } = await visit(stud.frontend, "TLSv1.3");
      writeFileSync(path, "short\n");
      stud.signal("SIGHUP");
      const line = await stud.waitForLog(({ event }) => event === "reload-failed", "the failure");
      assert.match(line.message, /nothing has changed: .*: ticket-secret-file: .+ too few/);
      assert.equal((await visit(stud.frontend, "TLSv1.3", session)).isReused, true);
    },
  },
];

const NEW_SECRET = ["--new-ticket-secret"];

function testing(context: Context, word: string): string[] {
  return ["--test", word, context.certificates.localhost];
}

/** A backend that sends one word and closes. */
function greeting(context: Context) {
  return context.backend((socket) => socket.on("error", () => {}).end("welcome"));
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at]! ^= 1;
  return copy;
}

function clientOf({ certificates }: Context) {
  const text = readFileSync(certificates.a);
  return { cert: text, key: text };
}

/** A file with a secret in its own directory. */
function secretFile(context: Context) {
  const path = join(mkdtempSync(join(context.certificates.directory, "secret-")), "secret");
  const change = () => writeFileSync(path, `${randomSecret()}\n`, { mode: 0o600 });
  change();
  return { path, word: `--ticket-secret-file=${path}`, change };
}

function configuration(context: Context, lines: readonly string[]): string {
  const directory = mkdtempSync(join(context.certificates.directory, "tickets-"));
  const file = join(directory, "stud.conf");
  writeFileSync(file, lines.map((line) => `${line}\n`).join(""));
  return file;
}

/** A stud with two workers and a configuration file, which `reload` rewrites with these lines. */
async function configured(context: Context, ...lines: readonly string[]) {
  const frontend = await freeEndpoint();
  const always = [
    `frontend = "[${frontend.host}]:${frontend.port}"`,
    `backend = "[127.0.0.1]:${(await greeting(context)).port}"`,
    `pem-file = "${context.certificates.localhost}"`,
    "log-format = json",
    "workers = 2",
  ];
  const file = configuration(context, [...always, ...lines]);
  const options = { backend: 0, exact: true, frontend };
  const stud = await context.stud([`--config=${file}`], options);
  const reload = async (...more: readonly string[]) => {
    writeFileSync(file, [...always, ...lines, ...more, ""].join("\n"));
    const reloads = () => stud.logs.filter(({ event }) => event === "reloaded").length;
    const before = reloads();
    stud.signal("SIGHUP");
    await until(() => reloads() > before, "the reload");
    await until(() => stud.workers().length === 2, "the old workers exit");
  };
  return { stud, reload };
}

/** Reconnects with the session until each worker has served it; each connection must resume. */
async function resumesAtAll(
  context: Context,
  stud: Stud,
  version: Version,
  session: Buffer,
): Promise<void> {
  const before = new Map(stud.workers().map((pid) => [pid, socketCount(pid)]));
  const isAt = (pid: number) => socketCount(pid) > before.get(pid)!;
  const versions = { minVersion: version, maxVersion: version };
  const clients: TLSSocket[] = [];
  const come = async () => {
    const client = await context.tls(stud.frontend, { ...versions, session });
    clients.push(client);
    assert.equal(client.isSessionReused(), true);
    return [...before.keys()].every(isAt);
  };
  await until(come, "every worker has served it");
  for (const client of clients) client.destroy();
}
