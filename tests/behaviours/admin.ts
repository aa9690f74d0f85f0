/** The admin endpoint in the life of the service: actions, reloads, upgrades, and its helper. */
import assert from "node:assert/strict";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { residentMemory } from "../../src/os/resident_memory.ts";
import {
  type AdminAddress,
  administered,
  ask,
  open,
  post,
  type Reply,
  served,
  socketPath,
  statusOf,
  textOf,
  TOKEN,
} from "../support/admin.ts";
import { exchange, openTls } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { run } from "../support/commands.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import { startLoad } from "../support/load.ts";
import {
  descriptorCount,
  helperOf,
  hold,
  isAlive,
  killIfAlive,
  processorTime,
  userOf,
} from "../support/processes.ts";
import { until, within } from "../support/until.ts";
import { adminRequests } from "./admin_requests.ts";
import { upgraded } from "./upgrade.ts";

const NOBODY = 65534;
/** As in `helper/streams.ts`. */
const MAX_STREAMS = 32;

export const admin: readonly Behaviour[] = [
  ...adminRequests,
  {
    name: "a reload that was requested is answered with its result",
    fromSource: true,
    async run(context) {
      const { admin, file, stud, write } = await configured(context);
      const done = await post(admin, "/reload");
      assert.equal(done.code, 200);
      const result = JSON.parse(done.body);
      assert.equal(result.result, "succeeded");
      assert.deepEqual(result.problems, []);
      write("backend = [127.0.0.1\n");
      const failed = await post(admin, "/reload");
      assert.equal(failed.code, 500);
      const { result: kind, problems } = JSON.parse(failed.body);
      assert.equal(kind, "failed");
      assert.ok(problems[0].startsWith(`${file}:`), problems[0]);
      assert.equal(problems.length, 1);
      write("");
      // All of them together are two reloads at most.
      const several = await Promise.all(Array.from({ length: 10 }, () => post(admin, "/reload")));
      assert.deepEqual(several.map(({ code }) => code), several.map(() => 200));
      const { reloads } = await statusOf(admin);
      assert.equal(reloads.failed, 1);
      assert.ok(reloads.succeeded >= 2 && reloads.succeeded <= 4, String(reloads.succeeded));
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
    },
  },
  {
    name: "the log level changes in all processes until the next reload",
    async run(context) {
      const { admin, stud } = await configured(context);
      const connect = async () => {
        assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      };
      await connect();
      assert.deepEqual(stud.logged("connection-closed"), []);
      assert.deepEqual(JSON.parse((await post(admin, "/log-level", "2\n")).body), { level: 2 });
      await until(async () => {
        await connect();
        return stud.logged("connection-closed").length > 0;
      }, "a verbose line");
      assert.equal((await statusOf(admin)).log.level, 2);
      const former = stud.workers()[0]!;
      killIfAlive(former);
      await until(() => stud.logged("worker-started").length === 2, "the next worker");
      const count = stud.logged("connection-closed").length;
      await connect();
      await until(() => stud.logged("connection-closed").length > count, "its line");
      assert.equal((await post(admin, "/reload")).code, 200);
      assert.equal((await statusOf(admin)).log.level, 1);
      await post(admin, "/log-level", "0");
      await post(admin, "/reload");
      assert.equal(stud.logged("reloading").length, 1, "the second one is not logged");
    },
  },
  {
    name: "a drain stops like SIGTERM: not ready at once, and gone after the last connection",
    fromSource: true,
    async run(context) {
      const { stud, admin } = await administered(context);
      const socket = await context.tls(stud.frontend);
      await until(async () => (await statusOf(admin)).workers[0]!.connections === 1, "its count");
      const begun = await post(admin, "/drain");
      assert.equal(begun.code, 202);
      assert.deepEqual(JSON.parse(begun.body), { draining: true, begun: true });
      const ready = await ask(admin, "/readyz");
      assert.equal(ready.code, 503);
      assert.match(ready.body, /stopping\n$/);
      assert.equal((await ask(admin, "/healthz")).code, 200);
      assert.equal((await statusOf(admin)).health, "draining");
      assert.equal(JSON.parse((await post(admin, "/drain")).body).begun, false);
      assert.equal((await post(admin, "/reload")).code, 500);
      socket.write("still here");
      await until(() => String(socket.read() ?? "") === "still here", "the echo");
      await assert.rejects(openTls(stud.frontend));
      assert.deepEqual((await statusOf(admin)).problems, [], "no worker has to serve");
      socket.end();
      assert.deepEqual(await within(stud.exited, "the exit"), { code: 0, signal: null });
    },
  },
  {
    name: "events arrive once a second; a client that does not read gets fewer and costs no memory",
    waits: true,
    async run(context) {
      const { stud, admin } = await administered(context);
      const helper = helperOf(stud.pid, "@admin")!;
      const streams = await Promise.all(
        Array.from({ length: MAX_STREAMS }, () => stream(context, admin)),
      );
      const [first, slow] = streams as [Stream, Stream];
      assert.match(first.response.headers["content-type"]!, /^text\/event-stream/);
      for (const { response } of streams.slice(2)) response.pause();
      slow.response.pause();
      assert.equal((await ask(admin, "/events")).code, 503, "one more");
      await until(() => first.events().length >= 4, "events");
      const times = first.events().map((each) => Date.parse(each.time));
      for (const [i, time] of times.slice(2).entries()) {
        const gap = time - times[i + 1]!;
        assert.ok(gap > 500, `${gap} ms`);
      }
      assert.equal(first.events()[0]!.master.pid, stud.pid);
      const before = residentMemory(helper);
      const count = first.events().length;
      await until(() => first.events().length >= count + 5, "more events");
      const grown = (residentMemory(helper) - before) / 1e6;
      assert.ok(grown < 40, `the helper has grown by ${grown} MB`);
      for (const { response } of streams.slice(1)) response.destroy();
      await until(async () => {
        const again = await stream(context, admin).catch(() => undefined);
        return again?.response.statusCode === 200;
      }, "a place for another client");
    },
  },
  {
    name: "a Unix socket is the master's user's alone, and the helper has no rights",
    fromSource: true,
    async run(context) {
      const path = socketPath(context);
      const isRoot = process.getuid!() === 0;
      const jail = mkdtempSync(join(context.certificates.directory, "jail-"));
      const echo = await context.echo();
      const words = isRoot ? ["--user=nobody", `--chroot=${jail}`] : [];
      // What a killed program left.
      const dead = createServer().listen(path);
      await once(dead, "listening");
      const kept = `${path}.kept`;
      renameSync(path, kept);
      dead.close();
      await once(dead, "close");
      renameSync(kept, path);
      const stud = await context.stud([`--admin=${path}`, ...words], { backend: echo.port });
      await served(stud);
      const { mode, uid } = statSync(path);
      assert.deepEqual([mode & 0o777, uid], [0o600, process.getuid!()]);
      const helper = helperOf(stud.pid, "@admin")!;
      // Any Host will do: browsers cannot connect.
      assert.equal((await ask(path, "/healthz", { headers: { host: "any.example" } })).code, 200);
      assert.equal(readFileSync(`/proc/${helper}/comm`, "utf8"), "stud: admin\n");
      if (isRoot) assert.equal(userOf(helper), NOBODY);
      await stud.stop();
      assert.ok(!existsSync(path), "the file is removed");
      assert.ok(!isAlive(helper));
    },
  },
  {
    name: "a reload restores a socket's file that was removed; one of another program stays",
    async run(context) {
      const { stud, admin } = await administered(context, { unix: true });
      const path = admin as string;
      rmSync(path);
      stud.signal("SIGHUP");
      await until(() => ask(path, "/healthz").then(({ code }) => code === 200, () => false), "it");
      assert.equal(statSync(path).mode & 0o777, 0o600);
      rmSync(path);
      const other = createServer((socket) => socket.end()).listen(path);
      context.after(() => other.close());
      await once(other, "listening");
      stud.signal("SIGHUP");
      const failure = await stud.waitForLog(
        ({ event }) => event === "reload-failed",
        "the failure",
      );
      assert.match(
        failure.message,
        /--admin: cannot listen on .*: it is in use by another program/,
      );
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      assert.deepEqual(await stud.stop(), { code: 0, signal: null });
      assert.ok(existsSync(path), "the other program's socket stays");
    },
  },
  {
    name: "SIGHUP adds, moves and removes the endpoint, and the answer that it asked for arrives",
    async run(context) {
      const { admin, stud, write } = await configured(context);
      const path = socketPath(context);
      const helper = helperOf(stud.pid, "@admin")!;
      assert.equal((await post(admin, "/reload")).code, 200);
      assert.equal(helperOf(stud.pid, "@admin"), helper, "the helper stays");
      write("", path);
      const moved = await post(admin, "/reload");
      assert.equal(moved.code, 200, moved.body);
      assert.equal((await ask(path, "/healthz")).code, 200);
      await assert.rejects(ask(admin, "/healthz"), { code: "ECONNREFUSED" });
      assert.equal((await post(path, "/log-level", "1")).code, 200);
      const taken = createServer().listen(0, "127.0.0.1");
      context.after(() => taken.close());
      await once(taken, "listening");
      write("", { host: "127.0.0.1", port: (taken.address() as AddressInfo).port });
      const refused = await post(path, "/reload");
      assert.equal(refused.code, 500);
      assert.match(JSON.parse(refused.body).problems[0], /--admin: .*: the port is in use/);
      assert.equal((await ask(path, "/healthz")).code, 200);
      write("tickets = on\n", "");
      stud.signal("SIGHUP");
      await until(() => !existsSync(path), "the file is removed");
      await until(() => helperOf(stud.pid, "@admin") === undefined, "the helper ends");
      write("", path);
      stud.signal("SIGHUP");
      await until(() => ask(path, "/healthz").then(() => true, () => false), "the endpoint");
      const announcements = () =>
        stud.logged("admin-ready").filter(({ addresses }) => String(addresses).endsWith(path))
          .length;
      await until(() => announcements() === 2, "the address is logged again");
    },
  },
  {
    name: "an upgrade keeps the endpoint: no request is refused, and streams connect again",
    fromSource: true,
    async run(context) {
      for (const unix of [false, true]) {
        const { stud, admin } = await administered(context, { unix });
        const helper = helperOf(stud.pid, "@admin")!;
        const { response } = await stream(context, admin);
        const ended = once(response.on("error", () => {}), "close");
        let isAsking = true;
        let asked = 0;
        const asking = (async () => {
          for (; isAsking; asked++) assert.equal((await ask(admin, "/healthz")).code, 200);
        })();
        await until(() => asked > 5, "requests");
        const second = await upgraded(context, stud, stud.pid);
        await until(() => !isAlive(stud.pid), "the first master exits");
        await until(() => !isAlive(helper), "its helper exits");
        await within(ended, "the end of the stream");
        const from = asked;
        await until(() => asked > from + 5, "requests");
        isAsking = false;
        await asking;
        assert.equal((await statusOf(admin)).master.pid, second);
        assert.equal(typeof admin !== "string" || existsSync(admin), true);
        process.kill(second, "SIGTERM");
        await until(() => !isAlive(second), "the second master exits");
        if (typeof admin === "string") assert.ok(!existsSync(admin), "the file is removed");
      }
    },
  },
  {
    name: "an upgrade that fails leaves the endpoint as it was",
    async run(context) {
      const { admin, stud, write } = await configured(context);
      write("workers = none\n");
      stud.signal("SIGUSR2");
      await stud.waitForLog(({ event }) => event === "upgrade-failed", "the failure");
      assert.equal((await statusOf(admin)).master.pid, stud.pid);
      write("");
      assert.equal((await post(admin, "/reload")).code, 200);
    },
  },
  {
    name: "a helper that is killed is replaced, and one that hangs holds up nothing",
    async run(context) {
      const { admin, stud } = await configured(context);
      const helper = helperOf(stud.pid, "@admin")!;
      killIfAlive(helper);
      await stud.waitForLog(({ event }) => event === "admin-exited", "the report");
      await until(async () => (await ask(admin, "/healthz")).code === 200, "another helper");
      const next = helperOf(stud.pid, "@admin")!;
      await hold(next);
      const sockets = Array.from({ length: 50 }, () => open(admin));
      for (const socket of sockets) socket.write("GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n");
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      stud.signal("SIGHUP");
      await stud.waitForLog(({ event }) => event === "reloaded", "the reload");
      const begun = performance.now();
      assert.deepEqual(await stud.stop(), { code: 0, signal: null });
      const took = performance.now() - begun;
      assert.ok(took < 8000, `a stop with a hung helper takes ${took} ms`);
      await until(() => !isAlive(next), "the helper's exit");
      for (const socket of sockets) socket.destroy();
    },
  },
  {
    name: "a helper that hangs is replaced, and a master that hangs is not healthy",
    waits: true,
    async run(context) {
      const { stud, admin } = await administered(context);
      const helper = helperOf(stud.pid, "@admin")!;
      await hold(helper);
      await until(() => !isAlive(helper), "the watchdog");
      await until(async () => (await ask(admin, "/healthz")).code === 200, "another helper");
      await hold(stud.pid);
      // Its last answer counts for a quarter of a second.
      const reply = await until(async () => {
        const reply = await ask(admin, "/healthz");
        return reply.code === 503 && reply;
      }, "the answer");
      process.kill(stud.pid, "SIGCONT");
      assert.match((reply as Reply).body, /the master has not answered within 3 s/);
      await until(async () => (await ask(admin, "/healthz")).code === 200, "the master");
    },
  },
  {
    name:
      "no client of the service notices a helper that is killed, hangs, or runs out of anything",
    waits: true,
    async run(context) {
      const { stud, admin } = await administered(context);
      const held = await openTls(stud.frontend);
      context.after(() => held.destroy());
      const load = startLoad(context, stud.frontend, 2);
      const helper = async () => (await until(() => helperOf(stud.pid, "@admin"), "a helper"))!;
      const answers = () =>
        until(
          async () => {
            const answer = ask(admin, "/healthz").then(({ code }) => code === 200, () => false);
            // One that was accepted and forgotten is not answered.
            return await Promise.race([answer, pause(500)]);
          },
          "an answer of the endpoint",
        );
      const limit = async (pid: number, resource: string) => {
        const { stderr } = await run("prlimit", [`--pid=${pid}`, resource]);
        assert.ok(stderr === "" || !isAlive(pid), stderr);
      };
      const replaced = async (before: number) => {
        await until(() => !isAlive(before), `the end of ${before}`);
        await answers();
      };

      for (let i = 0; i < 2; i++) {
        const pid = await helper();
        killIfAlive(pid);
        await load.serves(20);
        await replaced(pid);
      }

      const hung = await helper();
      await hold(hung);
      const asking = Array.from({ length: 50 }, () => open(admin));
      for (const socket of asking) socket.write("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
      await load.serves(20);
      killIfAlive(hung);
      await replaced(hung);
      for (const socket of asking) socket.destroy();

      // No free descriptor. Deno does not accept again once it has one, and is replaced.
      const full = await helper();
      await limit(full, `--nofile=${descriptorCount(full)}:`);
      const waiting = Array.from({ length: 50 }, () => open(admin));
      await load.serves(20);
      for (const socket of waiting) socket.destroy();
      await limit(full, "--nofile=1000:");
      await answers();

      // No more memory: Node and Deno abort, Bun goes on with what it has reserved.
      const poor = await helper();
      await limit(poor, "--as=1048576:");
      for (let i = 0; i < 100 && isAlive(poor); i++) {
        await ask(admin, "/metrics").catch(() => {});
      }
      await load.serves(20);
      killIfAlive(poor);
      await replaced(poor);
      await load.serves(20);

      await load.stop();
      assert.deepEqual(load.failures, []);
      held.write("still here");
      await until(() => String(held.read() ?? "") === "still here", "the echo");
      assert.deepEqual(stud.logged("connection-failed"), []);
    },
  },
  {
    name: "clients that ask without pause cost the master four answers a second",
    alone: true,
    async run(context) {
      const { stud, admin } = await administered(context);
      await ask(admin, "/status");
      const before = processorTime(stud.pid);
      const begun = performance.now();
      let answers = 0;
      const asking = async () => {
        for (; performance.now() - begun < 3000; answers++) await ask(admin, "/status");
      };
      await Promise.all(Array.from({ length: 8 }, asking));
      const used = processorTime(stud.pid) - before;
      assert.ok(answers > 100, `${answers} answers`);
      assert.ok(used < 600, `${answers} answers took the master ${used} ms`);
    },
  },
  {
    name: "what cannot be served is reported at start in one line, and nothing starts",
    async run(context) {
      for (const [words, expected] of await mistakes(context)) {
        const stud = await context.launch(["--log-format=text", ...words], { backend: 9 });
        const { code } = await within(stud.exited, "the refusal");
        const lines = stud.stderr.split("\n").filter((line) => line !== "" && !/warn/.test(line));
        assert.equal(lines.length, 1, stud.stderr);
        assert.match(lines[0]!, expected);
        assert.ok(!stud.stderr.includes("short-token"), "no token is shown");
        assert.equal(code, 1);
      }
    },
  },
  {
    name:
      "with a token it may be reached from other machines, and a file that others can read is named",
    async run(context) {
      const file = join(mkdtempSync(join(context.certificates.directory, "token-")), "token");
      writeFileSync(file, TOKEN, { mode: 0o644 });
      const { port } = await freeEndpoint("0.0.0.0");
      const echo = await context.echo();
      const stud = await context.stud([
        `--admin=*:${port}`,
        "--admin-allow-remote",
        `--admin-token-file=${file}`,
      ], { backend: echo.port });
      const headers = { authorization: `Bearer ${TOKEN}` };
      const reply = await ask({ host: "127.0.0.1", port }, "/healthz", { headers });
      assert.equal(reply.code, 200);
      const warnings = () => stud.logged("warning").map(({ message }) => message).join("\n");
      await until(() => /others can read it/.test(warnings()), "the warning about the file");
      assert.match(warnings(), /without encryption/);
      const name = `stud-tests-${process.pid}-${port}`;
      await context.stud([`--admin=@${name}`, `--admin-token-file=${file}`], {
        backend: echo.port,
      });
      // As Node writes abstract names.
      const abstract = `\0${name}`;
      assert.equal((await ask(abstract, "/healthz")).code, 401);
      assert.equal((await ask(abstract, "/healthz", { headers })).code, 200);
    },
  },
  {
    name: "both file grammars and hitch's command line have its options",
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "files-"));
      const path = socketPath(context);
      const [frontend, echo] = [await freeEndpoint(), await context.echo()];
      const file = join(directory, "blocks.conf");
      writeFileSync(
        file,
        `frontend = { host = "${frontend.host}" port = "${frontend.port}" }
        backend = "[127.0.0.1]:${echo.port}"
        pem-file = "${context.certificates.localhost}"
        admin = "${path}"
        admin-ready-backend = on
        log-format = "json"
        workers = 1
        `,
      );
      for (
        const words of [[`--config=${file}`], ["--compat=hitch", "--user=root", `--config=${file}`]]
      ) {
        if (words.length > 1 && process.getuid!() !== 0) continue;
        const stud = await context.launch(words, { backend: 0, frontend, exact: true });
        await until(() => ask(path, "/readyz").then(({ code }) => code === 200, () => false), "it");
        await stud.stop();
      }
    },
  },
];

/** Command lines that must be refused. */
async function mistakes(context: Context): Promise<[words: string[], expected: RegExp][]> {
  const directory = mkdtempSync(join(context.certificates.directory, "mistakes-"));
  const file = (name: string, text: string) => {
    const path = join(directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const [short, empty, spaces] = [
    file("short", "short-token"),
    file("empty", "\n"),
    file("spaces", "short-token short-token"),
  ];
  mkdirSync(join(directory, "directory"));
  const taken = createServer().listen(0, "127.0.0.1");
  const living = createServer().listen(join(directory, "living"));
  context.after(() => [taken, living].forEach((server) => server.close()));
  await Promise.all([once(taken, "listening"), once(living, "listening")]);
  const { port } = taken.address() as AddressInfo;
  const free = textOf(await freeEndpoint());
  const both = await freeEndpoint();
  const remote = ["--admin=*:9", "--admin-allow-remote"];
  const token = (path: string) => [`--admin=${free}`, `--admin-token-file=${path}`];
  return [
    [
      ["--admin=192.0.2.1:9"],
      /--admin: 192\.0\.2\.1:9 is not a loopback address; .*--admin-allow-remote/,
    ],
    [["--admin=*:9"], /--admin: \* is every address of this machine; /],
    [["--admin=[::]:9"], /--admin: \[::\]:9 is not a loopback address; /],
    [remote, /--admin-allow-remote: .* clients need a token; specify one with --admin-token-file/],
    [[`--admin=127.0.0.1:${port}`], /--admin: cannot listen on .*: the port is in use/],
    [
      [`--admin=${join(directory, "living")}`],
      /--admin: cannot listen on .*living: it is in use by another program/,
    ],
    [[`--admin=${short}`], /--admin: cannot listen on .*: it is a regular file, not a socket/],
    [
      [`--admin=${join(directory, "none", "x")}`],
      /--admin: cannot listen on .*: its directory does not exist/,
    ],
    [
      [`--admin=${join(directory, "directory")}`],
      /--admin: cannot listen on .*: it is a directory/,
    ],
    [
      [`--admin=${textOf(both)}`, `--frontend=${both.host},${both.port}`],
      /--admin: .* is a frontend; choose another/,
    ],
    [
      [`--admin=${free}`, `--backend=[${free.replace(":", "]:")}`],
      /--backend: .* is the admin endpoint/,
    ],
    [["--admin=nowhere"], /--admin: "nowhere" is not an address; /],
    [
      token(short),
      /--admin-token-file: .*short: 11 characters are too few for a token; use at least 16/,
    ],
    [token(empty), /--admin-token-file: .*empty: it is empty; /],
    [token(spaces), /--admin-token-file: .*spaces: the token must be one line of ASCII/],
    [token(join(directory, "directory")), /--admin-token-file: .*: it is a directory/],
    [token(join(directory, "missing")), /--admin-token-file: it does not exist in /],
  ];
}

/** A stud whose admin endpoint and more are in a configuration file. */
async function configured(context: Context) {
  const file = join(mkdtempSync(join(context.certificates.directory, "conf-")), "conf");
  const admin = await freeEndpoint();
  const write = (text: string, at: AdminAddress = admin) =>
    writeFileSync(file, `${at === "" ? "" : `admin = "${textOf(at)}"\n`}${text}`);
  write("");
  const echo = await context.echo();
  const stud = await context.stud([`--config=${file}`], { backend: echo.port });
  await served(stud);
  return { stud, admin, file, write };
}

interface Stream {
  readonly response: IncomingMessage;
  events(): { time: string; master: { pid: number } }[];
}

async function stream(context: Context, admin: AdminAddress): Promise<Stream> {
  const place = typeof admin === "string" ? { socketPath: admin } : admin;
  const sent = request({ ...place, path: "/events", agent: false }).on("error", () => {});
  context.after(() => sent.destroy());
  const [response] = await within(once(sent.end(), "response"), "the stream");
  let text = "";
  response.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
  response.on("error", () => {});
  const events = () =>
    [...text.matchAll(/^event: status\ndata: (.+)\n\n/gm)].map(([, data]) => JSON.parse(data!));
  return { response, events };
}
