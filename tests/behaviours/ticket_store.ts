/** Ticket keys shared between machines through Redis. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { randomSecret } from "../../src/tickets/ring.ts";
import { refuses } from "../support/capability.ts";
import type { Behaviour, Context } from "../support/context.ts";
import type { Endpoint } from "../support/endpoints.ts";
import { helperOf, isAlive, userOf } from "../support/processes.ts";
import { OTHER_ADDRESS, PASSWORD, Redis } from "../support/redis.ts";
import type { LogLine, Stud } from "../support/stud.ts";
import { until, within } from "../support/until.ts";
import { upgraded } from "./upgrade.ts";

const VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;
type Version = typeof VERSIONS[number];
const NOBODY = 65534;
/** What a store sends repeatedly: allocated once, to keep this process small. */
const FLOOD = Buffer.alloc(1024 * 1024, "x");

/** The ways in which a server can misbehave. */
const hostile: Readonly<Record<string, { answer: string; reason: RegExp; isEndless?: true }>> = {
  "sends unrequested answers": {
    answer: "+OK\r\n".repeat(100),
    reason: /its answer does not match the request/,
  },
  "is not Redis": { answer: "HTTP/1.1 400 Bad Request\r\n\r\n", reason: /no answer within 3 s/ },
  "sends endlessly": {
    answer: "$9999999999\r\n",
    // A busy machine does not send that much in that time.
    reason: /it sends far more than was requested|no answer within 3 s/,
    isEndless: true,
  },
};
/** The store is polled every four seconds. */
const QUICK = ["--ticket-rotation=40", "--session-timeout=40"];

/** For builds with their own ticket keys. */
const shared: readonly Omit<Behaviour, "needs" | "appliesTo">[] = [
  {
    name: "sessions resume on other machines, and after a restart",
    async run(context) {
      const redis = await Redis.start(context);
      const fleet = fleetOf(context, redis.url());
      const [one, two] = await Promise.all([sharing(context, fleet), sharing(context, fleet)]);
      for (const version of VERSIONS) {
        const session = await firstVisit(context, one, version);
        assert.ok(await isResumed(context, two, version, session), version);
        assert.ok(await isResumed(context, one, version, session), version);
      }
      const session = await firstVisit(context, one, "TLSv1.3");
      await one.stop();
      const again = await sharing(context, fleet, [], { frontend: one.frontend });
      assert.ok(await isResumed(context, again, "TLSv1.3", session));
      const { secret } = fleetOf(context, redis.url());
      const stranger = await sharing(context, { ...fleet, secret });
      assert.ok(!await isResumed(context, stranger, "TLSv1.3", session), "another fleet");
      assert.equal((await redis.names()).length, 4, "two entries for each fleet");
    },
  },
  {
    name: "a killed store changes nothing, and an empty one is filled after its restart",
    waits: true,
    async run(context) {
      const redis = await Redis.start(context);
      const fleet = fleetOf(context, redis.url());
      const one = await sharing(context, fleet, QUICK);
      const session = await firstVisit(context, one);
      await redis.stop();
      const line = await one.waitForLog(fails, "the store's failure is logged");
      assert.match(line.message, /ECONNREFUSED|ECONNRESET|Socket closed/);
      assert.match(line.message, /the known ticket keys stay in use/);
      assert.ok(await isResumed(context, one, "TLSv1.3", session));
      const later = await firstVisit(context, one);
      await redis.start();
      await one.waitForLog(
        ({ message }) => message.endsWith("answers again"),
        "the store is available again",
      );
      assert.ok((await redis.names()).length >= 2);
      const two = await sharing(context, fleet, QUICK);
      for (const stud of [one, two]) assert.ok(await isResumed(context, stud, "TLSv1.3", later));
      assert.equal(one.logs.filter(fails).length, 1);
    },
  },
  {
    name:
      "stud starts without its store, and its clients keep their sessions when the store appears",
    waits: true,
    async run(context) {
      const redis = await Redis.start(context);
      await redis.stop();
      const fleet = fleetOf(context, redis.url());
      const [one, two] = await Promise.all([
        serving(context, fleet, QUICK),
        serving(context, fleet, QUICK),
      ]);
      const line = await one.waitForLog(fails, "the missing store is logged");
      assert.match(line.message, /this machine makes its own ticket keys/);
      const session = await firstVisit(context, one);
      assert.ok(!await isResumed(context, two, "TLSv1.3", session));
      await redis.start();
      for (const stud of [one, two]) await stud.waitForLog(answers, "the store is found");
      assert.ok(await isResumed(context, one, "TLSv1.3", session));
      const later = await firstVisit(context, one);
      assert.ok(await isResumed(context, two, "TLSv1.3", later));
    },
  },
  {
    name: "a hanging store delays neither clients nor the stop",
    waits: true,
    async run(context) {
      const redis = await Redis.start(context);
      const one = await sharing(context, fleetOf(context, redis.url()), QUICK);
      const session = await firstVisit(context, one);
      redis.signal("SIGSTOP");
      const line = await one.waitForLog(fails, "the store's timeout is logged");
      assert.match(line.message, /no answer within 3 s/);
      assert.ok(await isResumed(context, one, "TLSv1.3", session));
      await firstVisit(context, one);
      const { code } = await one.stop();
      assert.equal(code, 0);
    },
  },
  ...Object.entries(hostile).map(([what, { answer, isEndless, reason }]) => ({
    name: `a store that ${what} is logged and harms nothing`,
    waits: true,
    async run(context: Context) {
      const { port } = await context.backend((socket) => {
        const flood = () => isEndless && socket.write(FLOOD);
        socket.on("data", () => socket.write(answer) && flood());
        socket.on("drain", flood);
      });
      const one = await serving(context, fleetOf(context, `redis://127.0.0.1:${port}`), QUICK);
      assert.match((await one.waitForLog(fails, "the failure")).message, reason);
      const session = await firstVisit(context, one);
      assert.ok(await isResumed(context, one, "TLSv1.3", session));
    },
  })),
  {
    name: "garbage in an entry is logged once and replaced",
    waits: true,
    async run(context) {
      const redis = await Redis.start(context);
      const one = await sharing(context, fleetOf(context, redis.url()), QUICK);
      const session = await firstVisit(context, one);
      const names = await redis.names();
      const values = await Promise.all(names.map((name) => redis.ask("GET", name)));
      for (const name of names) await redis.ask("SET", name, "roses are red");
      for (const [i, name] of names.entries()) {
        await until(async () => await redis.ask("GET", name) !== "roses are red", "the entry");
        assert.notEqual(await redis.ask("GET", name), values[i], "it was sealed again");
        await redis.ask("DEL", name);
        await redis.ask("LPUSH", name, "roses", "violets");
      }
      for (const name of names) {
        await until(async () => await redis.ask("TYPE", name) === "string", "the entry's type");
      }
      assert.equal(
        one.logs.filter(({ event }) => event === "ticket-store-garbage").length,
        names.length,
      );
      assert.ok(await isResumed(context, one, "TLSv1.3", session));
    },
  },
  {
    name: "entries are added and expire over time",
    waits: true,
    async run(context) {
      const redis = await Redis.start(context);
      const words = ["--ticket-rotation=2", "--session-timeout=1"];
      await sharing(context, fleetOf(context, redis.url()), words);
      const first = await until(async () => (await redis.names())[0], "an entry") as string;
      assert.match(first, /^stud:ticket-key:[0-9a-f]{32}:2:\d+$/);
      const left = Number(await redis.ask("PTTL", first));
      // Redis returns -1 for entries that never expire, -2 for those that have.
      assert.ok(left !== -1 && left <= 6000, `${left} ms`);
      await until(async () => !(await redis.names()).includes(first), "the first one is gone");
      await until(async () => (await redis.names()).length >= 3, "others");
    },
  },
  {
    name: "rediss:// verifies the store's certificate and name",
    // A wildcard address: another test could take the port before it is used.
    alone: true,
    async run(context) {
      const redis = await Redis.start(context, { isEncrypted: true });
      const trust = [`--ticket-store-ca=${context.certificates.ca}`];
      const { url, secret } = fleetOf(context, redis.url());
      const [one, two] = await Promise.all([
        sharing(context, { url, secret }, trust),
        sharing(context, { url: redis.url({ host: "localhost" }), secret }, trust),
      ]);
      assert.ok(await isResumed(context, two, "TLSv1.3", await firstVisit(context, one)));
      const other = { url: redis.url({ host: OTHER_ADDRESS }), secret };
      const [misnamed, untrusting] = await Promise.all([
        serving(context, other, trust),
        serving(context, { url, secret }),
      ]);
      assert.match((await misnamed.waitForLog(fails, "a wrong name")).message, /altnames/);
      assert.match((await untrusting.waitForLog(fails, "an unknown CA")).message, /certificate/);
    },
  },
  {
    name:
      "the store is used by an unprivileged process, which is replaced and does not outlive stud",
    waits: true,
    fromSource: true,
    async run(context) {
      const redis = await Redis.start(context);
      const isRoot = process.getuid!() === 0;
      const user = isRoot ? ["--user=nobody"] : [];
      const one = await sharing(context, fleetOf(context, redis.url()), [...user, ...QUICK]);
      const first = storeHelperOf(one.pid)!;
      if (isRoot) assert.equal(userOf(first), NOBODY);
      process.kill(first, "SIGKILL");
      const line = await one.waitForLog(fails, "its exit is logged");
      assert.match(line.message, /its helper ended \(signal SIGKILL\)/);
      const second = await until(() => storeHelperOf(one.pid), "another helper") as number;
      assert.notEqual(second, first);
      await one.stop();
      assert.ok(!isAlive(second));
      assert.equal(one.logs.filter(({ event }) => event === "ready").length, 1);
    },
  },
  {
    name: "a reload can drop the store and another restore it, and clients keep their sessions",
    waits: true,
    async run(context) {
      const redis = await Redis.start(context);
      const fleet = fleetOf(context, redis.url());
      const config = configured(context, fleet);
      const one = await sharing(context, fleet, QUICK, { config });
      const session = await firstVisit(context, one);
      const helper = storeHelperOf(one.pid)!;
      const text = readFileSync(config, "utf8");
      writeFileSync(config, text.replace(/^ticket-store.*$/m, ""));
      one.signal("SIGHUP");
      await until(() => !isAlive(helper), "the helper exits");
      await until(() => reloads(one) === 1, "the reload");
      assert.ok(await isResumed(context, one, "TLSv1.3", session));
      const between = await firstVisit(context, one);
      writeFileSync(config, text);
      one.signal("SIGHUP");
      await until(() => one.logs.filter(answers).length === 2, "the store is used again");
      for (const each of [session, between]) {
        assert.ok(await isResumed(context, one, "TLSv1.3", each));
      }
    },
  },
  {
    name: "after an upgrade the new process uses the store's keys with its own helper",
    fromSource: true,
    async run(context) {
      const redis = await Redis.start(context);
      const one = await sharing(context, fleetOf(context, redis.url()), QUICK);
      const session = await firstVisit(context, one);
      const helper = storeHelperOf(one.pid)!;
      await redis.stop();
      const pid = await upgraded(context, one, one.pid);
      await until(() => !isAlive(helper) && !isAlive(one.pid), "the first one is gone");
      await until(() => storeHelperOf(pid), "the second one's helper");
      assert.ok(await isResumed(context, one, "TLSv1.3", session));
    },
  },
  {
    name: "the store's password is never logged, and on the command line it is a warning",
    async run(context) {
      const redis = await Redis.start(context);
      const { url, secret } = fleetOf(context, redis.url({ password: `${PASSWORD}2` }));
      const words = [`--ticket-store=${url}`, `--ticket-secret-file=${secret}`, "--log-level=2"];
      const stud = await context.stud(words, { backend: (await context.echo()).port });
      const line = await stud.waitForLog(fails, "the refusal");
      assert.match(line.message, /redis:\/\/127[^@]+ fails \(WRONGPASS/);
      assert.ok(
        stud.logs.some(({ message }) => message.startsWith("--ticket-store: all users can see")),
      );
      await stud.stop();
      assert.ok(!stud.stderr.includes(PASSWORD));
    },
  },
];

const alone: readonly Behaviour[] = [
  {
    name: "--ticket-store is refused by builds without their own ticket keys",
    appliesTo: ({ ticketKeys }) => !ticketKeys,
    async run(context) {
      await refuses(context, "ticketKeys", [`--ticket-store=redis://:${PASSWORD}@127.0.0.1`]);
      assert.ok(!context.stderr().includes(PASSWORD));
    },
  },
];

export const ticketStore: readonly Behaviour[] = [
  ...alone,
  ...shared.map((behaviour): Behaviour => ({
    ...behaviour,
    needs: ["redis-server", "openssl"],
    appliesTo: ({ ticketKeys }) => ticketKeys,
  })),
];

interface Fleet {
  readonly url: string;
  /** The file with the fleet's secret. */
  readonly secret: string;
}

function fleetOf(context: Context, url: string): Fleet {
  const secret = join(mkdtempSync(join(context.certificates.directory, "fleet-")), "secret");
  writeFileSync(secret, randomSecret(), { mode: 0o600 });
  return { url, secret };
}

/** A configuration file that names the fleet's store and secret. */
function configured(context: Context, { url, secret }: Fleet): string {
  const config = join(mkdtempSync(join(context.certificates.directory, "machine-")), "conf");
  writeFileSync(config, `ticket-store = ${url}\nticket-secret-file = ${secret}\n`);
  return config;
}

/** Starts stud and waits until it is ready, whether its store answers or not. */
async function serving(
  context: Context,
  fleet: Fleet,
  words: readonly string[] = [],
  { frontend, config = configured(context, fleet) }: { frontend?: Endpoint; config?: string } = {},
): Promise<Stud> {
  const options = { backend: (await context.echo()).port, ...(frontend && { frontend }) };
  return await context.stud([`--config=${config}`, ...words], options);
}

/** Starts stud and waits until it uses the store's keys. */
async function sharing(...how: Parameters<typeof serving>): Promise<Stud> {
  const stud = await serving(...how);
  await stud.waitForLog(answers, "the store answers");
  return stud;
}

function answers({ event }: LogLine): boolean {
  return event === "ticket-store-answers";
}

function fails({ event }: LogLine): boolean {
  return event === "ticket-store-fails";
}

function reloads(stud: Stud): number {
  return stud.logs.filter(({ event }) => event === "reloaded").length;
}

/** The session of a client after a full handshake. */
async function firstVisit(
  context: Context,
  stud: Stud,
  version: Version = "TLSv1.3",
): Promise<Buffer> {
  const { isResumed, session } = await visit(context, stud, version);
  assert.ok(!isResumed);
  return session;
}

async function isResumed(
  context: Context,
  stud: Stud,
  version: Version,
  session: Buffer,
): Promise<boolean> {
  return (await visit(context, stud, version, session)).isResumed;
}

/** A finished connection. */
async function visit(
  context: Context,
  { frontend }: Stud,
  version: Version,
  session?: Buffer,
): Promise<{ isResumed: boolean; session: Buffer }> {
  const versions = { minVersion: version, maxVersion: version };
  const client = await context.tls(frontend, { ...versions, ...(session && { session }) });
  client.write("hello");
  // Tickets arrive with the first answer at the latest.
  await within(once(client, "data"), "an answer");
  const seen = { isResumed: client.isSessionReused(), session: client.getSession()! };
  client.destroy();
  return seen;
}

function storeHelperOf(master: number): number | undefined {
  return helperOf(master, "@ticket-store");
}
