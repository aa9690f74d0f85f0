/**
 * Steps of a start, reload, stop or upgrade that fail: either nothing has changed, or all other
 * steps are done.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import type { Behaviour, Context } from "../support/context.ts";
import { receiveDatagrams } from "../support/datagrams.ts";
import { type Endpoint, freeEndpoint } from "../support/endpoints.ts";
import { childrenOf, hold, isAlive, workersOf } from "../support/processes.ts";
import { runStud, type Stud } from "../support/stud.ts";
import type { Target } from "../support/target.ts";
import { makeUnwritable } from "../support/unwritable.ts";
import { until, within } from "../support/until.ts";
import { reloadable, reloaded } from "./reload.ts";
import { endWith, upgradable, upgraded } from "./upgrade.ts";

const adopts = ({ adoptSockets }: Target) => adoptSockets;

export const refusedSteps: readonly Behaviour[] = [
  {
    name: "a stop: the file of a Unix frontend cannot be removed",
    appliesTo: adopts,
    async run(context) {
      const { stud, unix, echo } = await withUnixFrontend(context);
      const client = await echo();
      makeReadOnly(context, unix.directory);
      stud.signal("SIGTERM");
      const warning = await stud.waitForLog(isAbout(unix.path), "a warning");
      assert.match(warning.message, /^--frontend: cannot remove .*; remove it yourself$/);
      await until(() => refuses(connect(unix.path)), "the Unix frontend refuses");
      await until(() => refuses(connect(stud.frontend.port, stud.frontend.host)), "the other too");
      client.write("still here");
      await until(() => String(client.read() ?? "") === "still here", "an echo during the stop");
      client.end();
      assert.deepEqual(await within(stud.exited, "the end"), { code: 0, signal: null });
      assert.equal(stud.logged("stopped")[0]!.cut, 0);
    },
  },
  {
    name: "a stop: a second signal cuts, even if a file could not be removed",
    appliesTo: adopts,
    async run(context) {
      const { stud, unix, echo } = await withUnixFrontend(context);
      await echo();
      makeReadOnly(context, unix.directory);
      stud.signal("SIGTERM");
      await stud.waitForLog(isAbout(unix.path), "a warning");
      assert.deepEqual(await stud.stop("SIGINT"), { code: 3, signal: null });
      assert.equal(stud.logged("stopped")[0]!.cut, 1);
    },
  },
  {
    name: "a stop: the pid file cannot be removed",
    async run(context) {
      const directory = newDirectory(context);
      const file = join(directory, "stud.pid");
      const backend = (await context.echo()).port;
      const stud = await context.stud([`--pidfile=${file}`], { backend });
      makeReadOnly(context, directory);
      assert.deepEqual(await stud.stop(), { code: 0, signal: null });
      const warning = stud.logs.find(isAbout(file));
      assert.match(warning!.message, /^--pidfile: cannot remove .*; remove it yourself$/);
      assert.equal(readFileSync(file, "utf8"), String(stud.pid));
    },
  },
  {
    name: "a reload that removes a Unix frontend: its file cannot be removed",
    appliesTo: adopts,
    async run(context) {
      const { stud, pem, unix, write, serves } = await withUnixFrontend(context);
      const [old] = stud.workers();
      makeReadOnly(context, unix.directory);
      copyFileSync(context.certificates.a2, pem);
      write({});
      await reloaded(stud);
      const warning = await stud.waitForLog(isAbout(unix.path), "a warning");
      assert.match(warning.message, /^--frontend: cannot remove/);
      assert.ok(await refuses(connect(unix.path)));
      await until(() => !isAlive(old!), "the old worker's exit");
      for (let i = 0; i < 10; i++) assert.equal(await serves("a.example"), "a2");
      // The next reload does not concern that frontend.
      copyFileSync(context.certificates.a, pem);
      await reloaded(stud);
      assert.equal(await serves("a.example"), "a");
      assert.equal(stud.logs.filter(isAbout(unix.path)).length, 1);
    },
  },
  {
    name: "a reload that keeps a Unix frontend whose directory is no longer writable",
    appliesTo: adopts,
    async run(context) {
      const { stud, unix, write, echo } = await withUnixFrontend(context);
      makeReadOnly(context, unix.directory);
      write({ workers: 2, more: unix.line });
      await reloaded(stud);
      (await echo()).destroy();
      assert.deepEqual(stud.logs.filter(isAbout(unix.path)), []);
    },
  },
  {
    name: "a reload and an upgrade: the configuration file was cut off",
    async run(context) {
      const { stud, file, write, serves } = await reloadable(context);
      write({ more: 'user = "nobody"' });
      if (process.getuid!() === 0) await reloaded(stud);
      const whole = readFileSync(file, "utf8");
      await until(() => stud.workers().length === 1, "the older worker's exit");
      const worker = stud.worker();
      const without = (key: string) =>
        whole.split("\n").filter((line) => !line.startsWith(key)).join("\n");
      const key = readFileSync(join(context.certificates.directory, "a.key"), "utf8");
      const cuts: [text: string, reason: RegExp][] = [
        ["", /it has no settings/],
        ["# frontend", /it has no settings/],
        [key, /this is a PEM file/],
        [without("frontend"), /no frontend is configured any more; .*restart stud/],
        [without("backend"), /no backend is configured any more; /],
      ];
      if (process.getuid!() === 0) {
        cuts.push([without("user"), /the workers would run as root; .*restart stud/]);
      }
      for (const [text, reason] of cuts) {
        writeFileSync(file, text);
        for (
          const [signal, event] of [["SIGHUP", "reload-failed"], ["SIGUSR2", "upgrade-failed"]]
        ) {
          stud.logs.length = 0;
          stud.signal(signal as NodeJS.Signals);
          const failure = await stud.waitForLog(
            (line) => line.event === event,
            `${event}: ${text}`,
          );
          assert.match(failure.message, reason);
          assert.equal(stud.logged(event!).length, 1);
        }
        assert.equal(stud.worker(), worker);
        assert.equal(await serves("a.example"), "a");
      }
      assert.ok(!stud.stderr.includes(key.split("\n")[1]!), "the key is not logged");
      writeFileSync(file, whole);
      stud.logs.length = 0;
      await reloaded(stud);
    },
  },
  {
    name: "a reload: --dbg-listen cannot be written",
    async run(context) {
      const { stud, pem, write, serves } = await reloadable(context);
      const report = join(newDirectory(context), "missing", "report");
      copyFileSync(context.certificates.a2, pem);
      const more = `dbg-listen = "${report}"`;
      write({ more });
      const workers = stud.workers();
      const failure = await failed(stud);
      assert.match(failure.message, /--dbg-listen: cannot write .*: No such file or directory/);
      assert.deepEqual(stud.workers(), workers);
      assert.equal(await serves("a.example"), "a");
      assert.equal(stud.logged("reloaded").length, 0);
      mkdirSync(join(report, ".."));
      stud.logs.length = 0;
      await reloaded(stud);
      assert.equal(await serves("a.example"), "a2");
      await until(() => existsSync(report), "the report");
    },
  },
  {
    name: "a start: --dbg-listen cannot be written",
    async run(context) {
      const directory = newDirectory(context);
      const { host, port } = await freeEndpoint();
      const words = [`--frontend=${host},${port}`, context.certificates.localhost];
      const pidFile = join(directory, "stud.pid");
      for (const path of [directory, join(directory, "missing", "report")]) {
        const { code, stderr } = await runStud(context.target, [
          ...[`--dbg-listen=${path}`, `--pidfile=${pidFile}`, "--quiet"],
          ...words,
        ]);
        assert.equal(code, 1);
        assert.match(stderr, /^stud: --dbg-listen: cannot write .*; specify another path\n$/);
        assert.ok(await refuses(connect(port, host)), "no worker is left");
        assert.deepEqual(readdirSync(directory), []);
      }
    },
  },
  {
    name: "a reload: the log file cannot be opened",
    async run(context) {
      const { stud, pem, write, serves } = await reloadable(context);
      const file = join(newDirectory(context), "missing", "stud.log");
      copyFileSync(context.certificates.a2, pem);
      write({ workers: 2, more: `log-filename = "${file}"` });
      const failure = await failed(stud);
      assert.match(failure.message, /--log-filename: cannot open .*: No such file or directory/);
      assert.equal(await serves("a.example"), "a");
      mkdirSync(join(file, ".."));
      stud.signal("SIGHUP");
      const log = () => existsSync(file) ? readFileSync(file, "utf8") : "";
      await until(() => log().includes('"reloaded"'), "the reload in the new file");
      assert.equal(await serves("a.example"), "a2");
    },
  },
  {
    name: "a reload: a frontend's port is in use, and the steps before it are undone",
    async run(context) {
      const { stud, pem, write, serves } = await reloadable(context);
      const directory = newDirectory(context);
      const second = await freeEndpoint();
      const server = createServer().listen(second.port, second.host);
      await once(server, "listening");
      context.after(() => server.close());
      const log = join(directory, "stud.log");
      const more = `dbg-listen = "${join(directory, "report")}"\nlog-filename = "${log}"`;
      copyFileSync(context.certificates.a2, pem);
      write({ frontends: [stud.frontend, second], more });
      const failure = await failed(stud);
      assert.match(failure.message, /the port is in use by another program/);
      assert.equal(await serves("a.example"), "a");
      assert.deepEqual(readdirSync(directory), ["stud.log"]);
      assert.equal(readFileSync(log, "utf8"), "", "the log is not moved");
      await new Promise((closed) => server.close(closed));
      stud.signal("SIGHUP");
      await until(() => readFileSync(log, "utf8").includes('"reloaded"'), "the reload");
      assert.equal(await serves("a.example"), "a2");
    },
  },
  {
    name: "a stop in the middle of a reload: no new worker is started",
    async run(context) {
      const { stud, write } = await reloadable(context);
      const client = await context.tls(stud.frontend);
      const second = await freeEndpoint();
      const holder = await bindOnly(context, second);
      write({ frontends: [stud.frontend, second], workers: 2 });
      stud.signal("SIGHUP");
      // It waits for the address, which is bound but does not listen.
      await stud.waitForLog(({ event }) => event === "reloading", "the reload begins");
      stud.signal("SIGTERM");
      await stud.waitForLog(({ event }) => event === "stopping", "the stop begins");
      holder.kill();
      await once(holder, "exit");
      await until(() => refuses(connect(stud.frontend.port, stud.frontend.host)), "a refusal");
      client.end();
      assert.deepEqual(await within(stud.exited, "the end"), { code: 0, signal: null });
      assert.deepEqual(stud.survivors(), []);
      assert.equal(stud.logged("worker-started").length, 1);
      assert.equal(stud.logged("reloaded").length + stud.logged("reload-failed").length, 0);
    },
  },
  {
    name: "the service manager's socket is gone: a reload and a stop still work",
    async run(context) {
      const directory = newDirectory(context);
      const path = join(directory, "notify");
      const { datagrams, stop } = await receiveDatagrams(path);
      context.after(stop);
      const stud = await context.stud([], {
        backend: (await context.echo()).port,
        environment: { NOTIFY_SOCKET: path },
      });
      await until(() => datagrams().some((each) => each.startsWith("READY=1")), "READY");
      await stop();
      rmSync(path);
      await reloaded(stud);
      assert.equal(stud.logged("notify-failed").length, 1);
      await reloaded(stud);
      assert.deepEqual(await stud.stop(), { code: 0, signal: null });
    },
  },
  {
    name: "an upgrade: the new process cannot write --dbg-listen",
    async run(context) {
      const { stud, frontend, directory, pidFile, write, exchange } = await upgradable(context, {});
      const report = join(directory, "report");
      mkdirSync(report);
      write({ more: `dbg-listen = "${report}"` });
      stud.signal("SIGUSR2");
      const failure = await stud.waitForLog(({ event }) => event === "upgrade-failed", "a failure");
      assert.match(failure.message, /--dbg-listen: cannot write/);
      await until(() => childrenOf(stud.pid).length === 1, "the new process's exit");
      for (let i = 0; i < 5; i++) assert.equal(String(await exchange(frontend, "hello")), "hello");
      assert.equal(readFileSync(pidFile, "utf8"), String(stud.pid));
      rmdirSync(report);
      await upgraded(context, stud, stud.pid);
      assert.equal(String(await exchange(frontend, "hello")), "hello");
    },
  },
  {
    name: "an upgrade: the new process is killed when one of its workers accepts already",
    async run(context) {
      for (;;) {
        const { stud, file, frontend, exchange } = await upgradable(context, { workers: 2 });
        stud.signal("SIGUSR2");
        // Its parent is the launcher, until it serves.
        const isNew = (pid: number) =>
          pid !== stud.pid && wordsOf(pid).includes(`--config=${file}`) &&
          workersOf(pid).length === 2;
        const all = () => readdirSync("/proc").map(Number).filter((pid) => pid > 0);
        const successor = await until(() => all().find(isNew), "its workers");
        endWith(context, successor!);
        const [first, second] = workersOf(successor!);
        // It cannot take over without this worker.
        await hold(second!);
        await stud.waitForLog(({ pid }) => pid === first, "the other worker accepts");
        process.kill(successor!, "SIGKILL");
        process.kill(second!, "SIGCONT");
        const outcome = await stud.waitForLog(
          ({ event }) => event === "upgraded" || event === "upgrade-failed",
          "the upgrade's outcome",
        );
        await until(() => ![first!, second!].some(isAlive), "its workers' exit");
        // It was held too late: try again.
        if (outcome.event === "upgraded") continue;
        for (let i = 0; i < 10; i++) {
          assert.equal(String(await exchange(frontend, "hello")), "hello");
        }
        await upgraded(context, stud, stud.pid);
        assert.equal(String(await exchange(frontend, "hello")), "hello");
        return;
      }
    },
  },
  {
    name: "kill -9 of the master: connections of an older generation continue",
    appliesTo: adopts,
    async run(context) {
      const { stud, write } = await reloadable(context);
      // The handshake starts after the worker has closed its listening sockets.
      const socket = connect(stud.frontend.port, stud.frontend.host);
      context.after(() => socket.destroy());
      await once(socket, "connect");
      const [old] = stud.workers();
      write({ workers: 2 });
      await reloaded(stud);
      const client = await context.tls(stud.frontend, { socket });
      client.write("before");
      await until(() => String(client.read() ?? "") === "before", "the echo of the old worker");
      assert.ok(isAlive(old!));
      const others = stud.workers().filter((pid) => pid !== old);
      stud.signal("SIGKILL");
      await until(() => !others.some(isAlive), "the other workers' exit");
      for (let i = 0; i < 10; i++) {
        client.write(`after ${i}`);
        await until(() => String(client.read() ?? "") === `after ${i}`, "the orphan's echo");
      }
      client.end();
      await until(() => !isAlive(old!), "the old worker's exit");
    },
  },
];

/** A stud that can be reloaded, with a Unix frontend beside the usual one. */
async function withUnixFrontend(context: Context) {
  const made = await reloadable(context);
  const directory = newDirectory(context);
  const path = join(directory, "tls.sock");
  const line = `frontend = "${path}"`;
  made.write({ more: line });
  await reloaded(made.stud);
  await until(() => made.stud.workers().length === 1, "the new worker alone");
  made.stud.logs.length = 0;
  /** Returns a client that has received an echo through the Unix socket. */
  const echo = async () => {
    const client = await context.tls({ host: "", port: 0 }, { socket: connect(path) });
    client.write("hello");
    await until(() => String(client.read() ?? "") === "hello", "an echo");
    return client;
  };
  return { ...made, unix: { directory, path, line }, echo };
}

function newDirectory(context: Context): string {
  return mkdtempSync(join(context.certificates.directory, "refused-"));
}

function makeReadOnly(context: Context, directory: string): void {
  context.after(makeUnwritable(directory));
}

function isAbout(path: string) {
  return ({ level, message }: { level: string; message: string }) =>
    level === "warn" && message.includes(path);
}

/** Sends SIGHUP and returns the log line of the failed reload. */
async function failed(stud: Stud) {
  stud.signal("SIGHUP");
  const failure = await stud.waitForLog(({ event }) => event === "reload-failed", "a failure");
  assert.match(failure.message, /nothing has changed/);
  return failure;
}

/** Whether a connect is refused. */
function refuses(socket: ReturnType<typeof connect>): Promise<boolean> {
  return new Promise((resolve) => {
    socket.on("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.on("error", (error) => resolve((error as { code?: string }).code === "ECONNREFUSED"));
  });
}

/** Starts a process that binds an address and does not listen. */
async function bindOnly(context: Context, { host, port }: Endpoint) {
  // Perl is in every Debian.
  const script = `use Socket; socket(my $s, PF_INET, SOCK_STREAM, 0);
    bind($s, sockaddr_in(${port}, inet_aton("${host}"))) or die; $| = 1; print "bound\\n"; sleep;`;
  const holder = spawn("perl", ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  context.after(() => holder.kill("SIGKILL"));
  await once(holder.stdout!, "data");
  return holder;
}

/** The command line of a process; empty once it has exited. */
function wordsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}
