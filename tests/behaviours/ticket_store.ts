/** Ticket keys that machines share through Redis. */
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
/** What a store sends again and again: made once, since this process is to stay small. */
const FLOOD = Buffer.alloc(1024 * 1024, "x");

/** What a server may do that is not as it should be. */
const hostile: Readonly<Record<string, { answer: string; reason: RegExp; isEndless?: true }>> = {
  "answers what nobody asked": {
    answer: "+OK\r\n".repeat(100),
    reason: /its answer does not match the request/,
  },
  "is no Redis": { answer: "HTTP/1.1 400 Bad Request\r\n\r\n", reason: /no answer within 3 s/ },
  "sends without end": {
    answer: "$9999999999\r\n",
    // A busy machine does not send so much in that time.
    reason: /it sends far more than was requested|no answer within 3 s/,
    isEndless: true,
  },
};
/** Every four seconds there is a look at the store. */
const QUICK = ["--ticket-rotation=40", "--session-timeout=40"];

/** Of builds with ticket keys of their own. */
const shared: readonly Omit<Behaviour, "needs" | "appliesTo">[] = [
  {
    name: "machines know each other's clients, and a stud that was started again knows its own",
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
    name: "a store that is killed changes nothing, and one that comes back empty is filled",
    waits: true,
    async run(context) {
      const redis = await Redis.start(context);
      const fleet = fleetOf(context, redis.url());
      const one = await sharing(context, fleet, QUICK);
      const session = await firstVisit(context, one);
      await redis.stop();
      const line = await one.waitForLog(fails, "the store's end is told");
      assert.match(line.message, /ECONNREFUSED|ECONNRESET|Socket closed/);
      assert.match(line.message, /the known ticket keys stay in use/);
      assert.ok(await isResumed(context, one, "TLSv1.3", session));
      const later = await firstVisit(context, one);
      await redis.start();
      await one.waitForLog(({ message }) => message.endsWith("answers again"), "the store is back");
      assert.ok((await redis.names()).length >= 2);
      const two = await sharing(context, fleet, QUICK);
      for (const stud of [one, two]) assert.ok(await isResumed(context, stud, "TLSv1.3", later));
      assert.equal(one.logs.filter(fails).length, 1);
    },
  },
  {
    name: "without the store at its start stud serves all the same, and its clients stay known",
    waits: true,
    async run(context) {
      const redis = await Redis.start(context);
      await redis.stop();
      const fleet = fleetOf(context, redis.url());
      const [one, two] = await Promise.all([
        serving(context, fleet, QUICK),
        serving(context, fleet, QUICK),
      ]);
      const line = await one.waitForLog(fails, "the store is missed");
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
    name: "a store that hangs holds up neither clients nor the end",
    waits: true,
    async run(context) {
      const redis = await Redis.start(context);
      const one = await sharing(context, fleetOf(context, redis.url()), QUICK);
      const session = await firstVisit(context, one);
      redis.signal("SIGSTOP");
      const line = await one.waitForLog(fails, "the store's silence is told");
      assert.match(line.message, /no answer within 3 s/);
      assert.ok(await isResumed(context, one, "TLSv1.3", session));
      await firstVisit(context, one);
      const { code } = await one.stop();
      assert.equal(code, 0);
    },
  },
  ...Object.entries(hostile).map(([what, { answer, isEndless, reason }]) => ({
    name: `a store that ${what} is told and harms nothing`,
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
    name: "garbage in an entry is told once and replaced",
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
        assert.notEqual(await redis.ask("GET", name), values[i], "it was sealed anew");
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
    name: "entries come and go with their time",
    waits: true,
    async run(context) {
      const redis = await Redis.start(context);
      const words = ["--ticket-rotation=2", "--session-timeout=1"];
      await sharing(context, fleetOf(context, redis.url()), words);
      const first = await until(async () => (await redis.names())[0], "an entry") as string;
      assert.match(first, /^stud:ticket-key:[0-9a-f]{32}:2:\d+$/);
      const left = Number(await redis.ask("PTTL", first));
      // Redis says -1 of what never ends, -2 of what has ended.
      assert.ok(left !== -1 && left <= 6000, `${left} ms`);
      await until(async () => !(await redis.names()).includes(first), "the end of the first");
      await until(async () => (await redis.names()).length >= 3, "others");
    },
  },
  {
    name: "rediss:// verifies the store's certificate and name",
    // Its address is everybody's, so that another test could take the port before it is used.
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
    name: "a process without rights speaks with the store, is replaced and does not stay behind",
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
      const line = await one.waitForLog(fails, "its end is told");
      assert.match(line.message, /its helper ended \(signal SIGKILL\)/);
      const second = await until(() => storeHelperOf(one.pid), "another helper") as number;
      assert.notEqual(second, first);
      await one.stop();
      assert.ok(!isAlive(second));
      assert.equal(one.logs.filter(({ event }) => event === "ready").length, 1);
    },
  },
  {
    name: "a reload leaves the store and comes back to it, and no client is forgotten",
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
      await until(() => !isAlive(helper), "the end of the helper");
      await until(() => reloads(one) === 1, "the reload");
      assert.ok(await isResumed(context, one, "TLSv1.3", session));
      const between = await firstVisit(context, one);
      writeFileSync(config, text);
      one.signal("SIGHUP");
      await until(() => one.logs.filter(answers).length === 2, "the store again");
      for (const each of [session, between]) {
        assert.ok(await isResumed(context, one, "TLSv1.3", each));
      }
    },
  },
  {
    name: "a successor goes on with the store's keys and a helper of its own",
    fromSource: true,
    async run(context) {
      const redis = await Redis.start(context);
      const one = await sharing(context, fleetOf(context, redis.url()), QUICK);
      const session = await firstVisit(context, one);
      const helper = storeHelperOf(one.pid)!;
      await redis.stop();
      const pid = await upgraded(context, one, one.pid);
      await until(() => !isAlive(helper) && !isAlive(one.pid), "the end of the first");
      await until(() => storeHelperOf(pid), "the second one's helper");
      assert.ok(await isResumed(context, one, "TLSv1.3", session));
    },
  },
  {
    name: "the store's password is in no line of the log, and on the command line it is a warning",
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
    name: "--ticket-store is refused by builds without ticket keys of their own",
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
  /** The file with its secret. */
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

/** A stud that is ready, whether its store answers or not. */
async function serving(
  context: Context,
  fleet: Fleet,
  words: readonly string[] = [],
  { frontend, config = configured(context, fleet) }: { frontend?: Endpoint; config?: string } = {},
): Promise<Stud> {
  const options = { backend: (await context.echo()).port, ...(frontend && { frontend }) };
  return await context.stud([`--config=${config}`, ...words], options);
}

/** A stud whose keys are the store's. */
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

/** What a client comes back with after a full handshake. */
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

/** A connection that is over. */
async function visit(
  context: Context,
  { frontend }: Stud,
  version: Version,
  session?: Buffer,
): Promise<{ isResumed: boolean; session: Buffer }> {
  const versions = { minVersion: version, maxVersion: version };
  const client = await context.tls(frontend, { ...versions, ...(session && { session }) });
  client.write("hello");
  // Tickets come with the first answer at the latest.
  await within(once(client, "data"), "an answer");
  const seen = { isResumed: client.isSessionReused(), session: client.getSession()! };
  client.destroy();
  return seen;
}

function storeHelperOf(master: number): number | undefined {
  return helperOf(master, "@ticket-store");
}
