/** What is logged, at which level and in which format, and what happens if nothing reads the log. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import * as runtime from "#runtime";
import { ending, exchange, openTcp } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { endpointText, freeEndpoint } from "../support/endpoints.ts";
import { parentOf, socketCount } from "../support/processes.ts";
import { openPseudoTerminal } from "../support/pseudo_terminal.ts";
import type { Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";
import { endWith } from "./upgrade.ts";

const FLOOD = 50;
/** Its groups are the pid and the event. */
const TEXT_LINE =
  /^\d{4}-\d\d-\d\dT[\d:.]{12}Z (?:error|warn |info |debug) \[(\d+)\] ([a-z]+(?:-[a-z]+)*) \S/;

export const logging: readonly Behaviour[] = [
  {
    name: "ready is logged once, with the frontends and the number of workers",
    async run(context) {
      const stud = await context.stud(["-n", "2"], { backend: 9 });
      const ready = stud.logs.filter((line) => line.event === "ready");
      assert.equal(ready.length, 1);
      assert.deepEqual([ready[0]!.frontends].flat(), [endpointText(stud.frontend)]);
      assert.equal(ready[0]!.workers, 2);
    },
  },
  {
    name: "every line is a JSON object with time, level, pids, event and message",
    fromSource: true,
    async run(context) {
      const stud = await context.stud(["-L", "2"], { backend: (await context.echo()).port });
      const worker = stud.worker();
      await exchange(stud.frontend, "hello");
      // Some TLS libraries refuse such a name, others pass it on.
      await exchange(stud.frontend, "hello", { servername: "new\nline" }).catch(() => {});
      await failsHandshake(stud);
      await stud.waitForLog((line) => line.event === "connection-failed", "a failure is logged");
      await stud.stop();
      const lines = stud.stderr.trimEnd().split("\n");
      assert.equal(lines.length, stud.logs.length);
      for (const line of stud.logs) {
        assert.ok(Math.abs(Date.parse(line.time) - Date.now()) < 60_000, line.time);
        assert.match(line.level, /^(debug|info|warn|error)$/);
        assert.match(line.event, /^[a-z]+(-[a-z]+)*$/);
        assert.match(line.message, /^[^\n]+$/);
        assert.equal(line.master, stud.pid);
        const isOfWorker = line.worker !== undefined;
        assert.equal(line.pid, isOfWorker ? worker : stud.pid, line.event);
      }
    },
  },
  {
    name: "a successful connection is not logged by default",
    async run(context) {
      const stud = await context.stud([], { backend: (await context.echo()).port });
      await exchange(stud.frontend, "hello");
      await stud.stop();
      const events = stud.logs.map((line) => line.event).filter((event) => /connect/.test(event));
      assert.deepEqual(events, []);
    },
  },
  {
    name: "a successful connection is logged at level 2",
    async run(context) {
      const stud = await context.stud(["-L", "2"], { backend: (await context.echo()).port });
      await exchange(stud.frontend, "hello");
      await stud.waitForLog(
        (line) => line.level === "debug" && /connection/.test(line.event),
        "the connection is logged",
      );
    },
  },
  {
    name: "a failed connection is logged in one line with client, source, code and cause",
    async run(context) {
      const stud = await context.stud([], { backend: 9 });
      const client = await failsHandshake(stud);
      const line = await stud.waitForLog((line) => line.event === "connection-failed", "a failure");
      assert.equal(line.client, client);
      assert.equal(line.source, "client");
      assert.equal(line.code, "handshake-failed");
      assert.match(String(line.cause), /./);
      assert.equal(typeof line.worker, "number");
      assert.equal(typeof line.connection, "number");
      await stud.stop();
      assert.equal(stud.failures().length, 1);
    },
  },
  {
    name: "a flood of equal failures is ten lines and a summary, also when a worker exits",
    async run(context) {
      const stud = await context.stud([], { backend: 9 });
      await floods(stud);
      await stud.stop();
      const sums = stud.logs.filter((line) => line.event === "events-repeated");
      assert.ok(sums.length > 0);
      const lines = stud.failures().length;
      // A busy machine takes longer than the 10 s that one summary covers.
      assert.ok(lines >= 10 && lines <= 10 * (sums.length + 1), `${lines} lines`);
      const counts = sums.map(({ count }) => Number(count));
      assert.equal(counts.reduce((so, count) => so + count, lines), FLOOD);
      const { level, message, code, source, worker, repeated } = sums[0]!;
      assert.deepEqual(
        { level, code, source, worker, repeated },
        {
          ...{ level: "warn", code: "handshake-failed", source: "client" },
          ...{ worker: 1, repeated: "connection-failed" },
        },
      );
      assert.match(
        message,
        new RegExp(
          `^${counts[0]} more times in the last \\d+ s; the last one: connection \\d+ from `,
        ),
      );
    },
  },
  {
    name: "at level 2 every failure is logged",
    async run(context) {
      const stud = await context.stud(["-L", "2"], { backend: 9 });
      await floods(stud);
      await stud.stop();
      assert.equal(stud.failures().length, FLOOD);
      assert.equal(stud.logs.some((line) => line.event === "events-repeated"), false);
    },
  },
  {
    name: "--quiet logs only errors",
    async run(context) {
      const stud = await context.launch(["-q"], { backend: (await context.echo()).port });
      await until(
        () => exchange(stud.frontend, "hello").then(() => true, () => false),
        "stud serves",
      );
      await failsHandshake(stud);
      await stud.stop();
      assert.equal(stud.stderr, "");
    },
  },
  {
    name: "a text line has time, level, the pid of the master that speaks, event and message",
    async run(context) {
      const stud = await context.launch(["--log-format=text"], { backend: 9 });
      const line = (text: string) =>
        until(
          () => stud.stderr.split("\n").find((each) => each.includes(text)),
          `a line with ${text}`,
        ) as Promise<string>;
      assert.match(await line(endpointText(stud.frontend)), TEXT_LINE);
      const client = await failsHandshake(stud);
      const time = String.raw`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`;
      const failed = String
        .raw`warn  \[${stud.pid}\] connection-failed worker 1: connection \d+ from `;
      assert.match(await line(client), new RegExp(`${time} ${failed}`));
      stud.signal("SIGUSR2");
      const upgraded = await line(" upgraded process ");
      const successor = Number(/ process (\d+) has taken over/.exec(upgraded)![1]);
      endWith(context, successor);
      const masters = new Set<number>();
      for (const each of stud.stderr.trimEnd().split("\n")) {
        const [, pid, event] = TEXT_LINE.exec(each) ?? [];
        masters.add(Number(pid));
        if (event === "ready") assert.equal(Number(pid), masters.size === 1 ? stud.pid : successor);
        if (event === "upgraded") assert.equal(Number(pid), stud.pid);
      }
      assert.deepEqual([...masters], [stud.pid, successor]);
    },
  },
  {
    name: "--log-quiet silences the classes it lists, which a reload changes",
    async run(context) {
      const file = join(mkdtempSync(join(context.certificates.directory, "log-")), "stud.conf");
      const configure = (quiet: string) => writeFileSync(file, `log-quiet = "${quiet}"\n`);
      configure("handshake");
      const stud = await context.stud([`--config=${file}`], { backend: 9 });
      const reloaded = async () => {
        const before = stud.logged("reloaded").length;
        stud.signal("SIGHUP");
        await until(() => stud.logged("reloaded").length > before, "the reload");
      };
      const outage = () => exchange(stud.frontend, "hello").catch(() => {});
      await failsHandshake(stud);
      await outage();
      await until(() => stud.failures().length > 0, "the outage is logged");
      assert.deepEqual(stud.failures(), ["backend backend-refused"]);
      configure("client");
      await reloaded();
      await failsHandshake(stud);
      configure("");
      await reloaded();
      const client = await failsHandshake(stud);
      const line = await stud.waitForLog(({ event }) => event === "connection-failed", "a line");
      assert.equal(line.client, client, "those before were silenced");
    },
  },
  {
    name: "an unread pipe as the log delays no start, service, new worker, reload or stop",
    async run(context) {
      const path = join(mkdtempSync(join(context.certificates.directory, "log-")), "pipe");
      execFileSync("mkfifo", [path]);
      const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
      context.after(() => closeSync(fd));
      assert.throws(() => {
        for (;;) writeSync(fd, "x".repeat(1024));
      }, { code: "EAGAIN" });
      await servesWithStderr(context, path);
      await servesWithStderr(context, "/dev/null", [`--log-filename=${path}`]);
    },
  },
  {
    name: "a terminal stopped by Ctrl-S delays no start, service, new worker, reload or stop",
    async run(context) {
      const terminal = openPseudoTerminal(runtime.libc);
      context.after(() => terminal.close());
      terminal.stop();
      await servesWithStderr(context, terminal.path);
    },
  },
];

/** Start, service, a killed worker, reload and stop with a standard error that accepts nothing. */
async function servesWithStderr(
  context: Context,
  path: string,
  words: readonly string[] = [],
): Promise<void> {
  const file = `${mkdtempSync(join(context.certificates.directory, "log-"))}/stud.conf`;
  const workers = (count: number) => writeFileSync(file, `workers = ${count}\nlog-level = 2\n`);
  workers(1);
  const frontend = await freeEndpoint();
  const { port } = await context.echo();
  const command = ["sh", "-c", 'exec "$@" 2>"$0"', path, ...context.target.command];
  const stud = await context.like({ ...context.target, command }).launch([
    ...[`--config=${file}`, `--frontend=${frontend.host},${frontend.port}`],
    ...[`--backend=127.0.0.1,${port}`, context.certificates.localhost, ...words],
  ], { backend: port, frontend, exact: true });
  const answer = () => exchange(frontend, "hello").then(String, () => "");
  await until(async () => await answer() === "hello", "stud serves");
  for (let i = 0; i < FLOOD; i++) assert.equal(await answer(), "hello");
  const killed = stud.worker();
  process.kill(killed, "SIGKILL");
  await until(() => parentOf(killed) === 0, "the master has collected the worker's exit status");
  await until(async () => await answer() === "hello", "another worker serves");
  workers(2);
  stud.signal("SIGHUP");
  await until(() => stud.workers().length === 2, "the workers of the new configuration");
  assert.equal(await answer(), "hello");
  assert.equal((await stud.stop()).code, 0);
  assert.deepEqual(stud.survivors(), []);
}

/** Sequential clients whose handshake fails; fulfilled when the worker has handled all of them. */
async function floods(stud: Stud): Promise<void> {
  const worker = stud.worker();
  const idle = socketCount(worker);
  for (let i = 0; i < FLOOD; i++) await failsHandshake(stud);
  await until(() => socketCount(worker) === idle, "the worker has handled all of them");
}

/** Returns the client's address. */
async function failsHandshake(stud: Stud): Promise<string> {
  const client = await openTcp(stud.frontend);
  const self = `${client.localAddress}:${client.localPort}`;
  client.write("not a ClientHello\r\n\r\n");
  await ending(client);
  client.destroy();
  return self;
}
