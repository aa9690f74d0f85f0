/** SIGUSR2: another version of the program replaces the running one. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { connect as connectUnix } from "node:net";
import { constants } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { exchange as exchangeOnce, openTls, readAll } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, freeEndpoint } from "../support/endpoints.ts";
import { startLoad } from "../support/load.ts";
import { childrenOf, isAlive, killIfAlive, userOf, workersOf } from "../support/processes.ts";
import { runStud, type Stud } from "../support/stud.ts";
import { root, type Target } from "../support/target.ts";
import { until } from "../support/until.ts";

const LOAD = 8;
/** The user id of `nobody`, which every system has. */
const NOBODY = 65534;
/** Signals that may arrive before a service can handle them. */
const EARLY = ["SIGHUP", "SIGUSR2"] as const;
const isCompiled = ({ command }: Target) => command.length === 1;

export const upgrade: readonly Behaviour[] = [
  {
    name: "signals during the start are handled when it serves",
    async run(context) {
      const { file, frontend, exchange } = await configured(context);
      const text = readFileSync(file);
      rmSync(file);
      execFileSync("mkfifo", [file]);
      const options = { backend: 0, frontend, exact: true };
      const stud = await context.launch([`--config=${file}`], options);
      // It waits for its configuration, which is not written yet.
      await until(() => EARLY.every((signal) => isCaught(stud.pid, signal)), "handlers");
      for (const signal of EARLY) stud.signal(signal);
      const config = openSync(file, "w");
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
      writeSync(config, text);
      closeSync(config);
      const line = await stud.waitForLog(({ event }) => event === "upgraded", "the upgrade");
      const pid = Number(line.pid);
      endWith(context, pid);
      assert.equal(String(await exchange(frontend, "hello")), "hello");
      await until(() => !isAlive(stud.pid), "the first process's exit");
      assert.ok(isAlive(pid));
    },
  },
  {
    name: "two upgrades in a row under load refuse and cut no connection",
    async run(context) {
      const { stud, frontend } = await upgradable(context, { workers: 2 });
      const load = startLoad(context, frontend, LOAD);
      await load.serves(20);
      const from = performance.now();
      const second = await upgraded(context, stud, stud.pid);
      await load.serves(50);
      await until(() => !isAlive(stud.pid), "the first process's exit");
      const third = await upgraded(context, stud, second);
      await load.serves(50);
      await until(() => !isAlive(second), "the second process's exit");
      await load.stop();
      assert.equal(workersOf(third).length, 2);
      // Workers that bind their own sockets lose their queues when they stop listening.
      const excused = load.failures.filter(({ code, to }) =>
        !context.target.adoptSockets && code !== "ECONNREFUSED" && to > from
      );
      assert.deepEqual(load.failures.filter((failure) => !excused.includes(failure)), []);
    },
  },
  {
    name: "a connection continues in the old process, which exits after it",
    async run(context) {
      const { stud, frontend, exchange } = await upgradable(context, {});
      const client = await openTls(frontend);
      context.after(() => client.destroy());
      client.write("before");
      await until(() => String(client.read() ?? "") === "before", "the echo");
      const pid = await upgraded(context, stud, stud.pid);
      client.write("after");
      await until(() => String(client.read() ?? "") === "after", "the echo of the old process");
      assert.equal(String(await exchange(frontend, "hello")), "hello");
      assert.ok(isAlive(stud.pid));
      // A reload of the old process would start workers.
      stud.signal("SIGHUP");
      stud.signal("SIGUSR2");
      const ignored = await stud.waitForLog(
        ({ event }) => event === "upgrade-ignored",
        "a warning about the second signal",
      );
      assert.ok(ignored.message.includes(String(pid)), ignored.message);
      client.end();
      await until(() => !isAlive(stud.pid), "the old process's exit");
      assert.ok(stud.logs.every(({ event }) => event !== "reloading"));
      assert.ok(isAlive(pid));
    },
  },
  {
    name: "an invalid configuration changes nothing and is logged; once corrected, it is used",
    async run(context) {
      const { stud, frontend, file, pidFile, write, exchange } = await upgradable(context, {});
      const workers = stud.workers();
      writeFileSync(file, "frontend = {\n  nonsense\n}\n");
      stud.signal("SIGUSR2");
      const failure = await stud.waitForLog(
        ({ event }) => event === "upgrade-failed",
        "a failed upgrade",
      );
      assert.ok(failure.message.includes(`${file}:2`), failure.message);
      assert.deepEqual(stud.workers(), workers);
      assert.equal(readFileSync(pidFile, "utf8"), String(stud.pid));
      assert.equal(String(await exchange(frontend, "hello")), "hello");
      const second = await freeEndpoint();
      write({ frontends: [second], workers: 2 });
      const pid = await upgraded(context, stud, stud.pid);
      assert.equal(workersOf(pid).length, 2);
      assert.equal(String(await exchange(second, "hello")), "hello");
      await until(
        () => exchangeOnce(frontend, "hello").then(() => false, () => true),
        "the removed frontend refuses",
      );
    },
  },
  {
    name: "a port that another program uses changes nothing and is logged",
    async run(context) {
      const { stud, frontend, write, exchange } = await upgradable(context, {});
      const backend = await context.echo();
      const taken = { host: "127.0.0.1", port: backend.port };
      write({ frontends: [frontend, taken] });
      stud.signal("SIGUSR2");
      const failure = await stud.waitForLog(
        ({ event }) => event === "upgrade-failed",
        "a failed upgrade",
      );
      assert.match(failure.message, /127\.0\.0\.1:\d+: the port is in use by another program/);
      assert.equal(String(await exchange(frontend, "hello")), "hello");
    },
  },
  {
    name: "the file at its path is started; one that fails at once is reported",
    async run(context) {
      const { stud, link, frontend, exchange } = await linked(context);
      replace(link, "#!/bin/sh\nexit 7\n");
      stud.signal("SIGUSR2");
      const failure = await stud.waitForLog(
        ({ event }) => event === "upgrade-failed",
        "a failed upgrade",
      );
      assert.match(failure.message, /the new process exited \(status 7\) before it was ready/);
      assert.equal(String(await exchange(frontend, "hello")), "hello");
      const witness = `${link}.was-here`;
      const [real] = context.target.command;
      replace(link, `#!/bin/sh\n: > "${witness}"\nexec "${real}" "$@"\n`);
      await upgraded(context, stud, stud.pid);
      assert.ok(existsSync(witness));
      assert.equal(String(await exchange(frontend, "hello")), "hello");
    },
  },
  {
    name:
      "a reload waits for an upgrade in progress, and a second SIGUSR2 is ignored with a warning",
    async run(context) {
      const { stud, link, frontend, exchange } = await linked(context);
      const hanging = await startHanging(context, stud, link);
      stud.signal("SIGUSR2");
      await stud.waitForLog(({ event }) => event === "upgrade-ignored", "the second signal");
      stud.signal("SIGHUP");
      assert.equal(String(await exchange(frontend, "hello")), "hello");
      assert.ok(stud.logs.every(({ event }) => event !== "reloading"));
      process.kill(hanging, "SIGKILL");
      const failure = await stud.waitForLog(
        ({ event }) => event === "upgrade-failed",
        "a failed upgrade",
      );
      assert.match(failure.message, /the new process exited \(signal SIGKILL\)/);
      await stud.waitForLog(({ event }) => event === "reloaded", "the reload");
      assert.equal(String(await exchange(frontend, "hello")), "hello");
    },
  },
  {
    name: "a stop during an upgrade stops both processes",
    async run(context) {
      const { stud, link } = await linked(context);
      const hanging = await startHanging(context, stud, link);
      await stud.stop();
      await until(() => !isAlive(hanging), "the new process's exit");
    },
  },
  {
    name: "SIGTERM to the new process stops the old one too",
    async run(context) {
      const more = "drain-timeout = 0\n";
      const { stud, frontend, pidFile } = await upgradable(context, { more });
      const client = await openTls(frontend);
      context.after(() => client.destroy());
      const pid = await upgraded(context, stud, stud.pid);
      assert.ok(isAlive(stud.pid));
      process.kill(pid, "SIGTERM");
      await until(() => !isAlive(stud.pid), "the old process's exit");
      await until(() => !isAlive(pid), "the new process's exit");
      assert.equal(existsSync(pidFile), false);
    },
  },
  {
    name: "the pid file has the new pid, also at another path",
    async run(context) {
      const { stud, frontend, pidFile, write } = await upgradable(context, {});
      const second = await upgraded(context, stud, stud.pid);
      assert.equal(readFileSync(pidFile, "utf8"), String(second));
      await until(() => !isAlive(stud.pid), "the first process's exit");
      assert.equal(readFileSync(pidFile, "utf8"), String(second));
      const words = [`--pidfile=${pidFile}`, `--frontend=127.0.0.1,${frontend.port}`];
      const other = await runStud(context.target, [...words, context.certificates.localhost]);
      assert.ok(other.stderr.includes(`process ${second} holds it`), other.stderr);
      const moved = `${pidFile}.moved`;
      write({ pidFile: moved });
      const third = await upgraded(context, stud, second);
      await until(() => !isAlive(second), "the second process's exit");
      assert.equal(existsSync(pidFile), false);
      assert.equal(readFileSync(moved, "utf8"), String(third));
      process.kill(third, "SIGTERM");
      await until(() => !isAlive(third), "the third process's exit");
      assert.equal(existsSync(moved), false);
    },
  },
  {
    name: "a Unix socket's file is kept",
    appliesTo: ({ adoptSockets }) => adoptSockets,
    async run(context) {
      const path = join(mkdtempSync(join(context.certificates.directory, "unix-")), "stud.sock");
      const { stud, write } = await upgradable(context, { more: `frontend = "${path}"\n` });
      const { ino } = statSync(path);
      const echo = async () => {
        const socket = connectUnix(path);
        const client = await openTls({ host: "localhost", port: 0 }, { socket });
        client.end("hello");
        assert.equal(String(await readAll(client)), "hello");
      };
      await echo();
      const second = await upgraded(context, stud, stud.pid);
      await until(() => !isAlive(stud.pid), "the first process's exit");
      assert.equal(statSync(path).ino, ino);
      await echo();
      write({});
      const third = await upgraded(context, stud, second);
      await until(() => !isAlive(second), "the second process's exit");
      assert.equal(existsSync(path), false, "the frontend is gone, and so is its file");
      assert.ok(isAlive(third));
    },
  },
  {
    name: "a socket of the service manager is passed to the successor",
    appliesTo: ({ adoptSockets }) => adoptSockets,
    async run(context) {
      const { host, port } = await freeEndpoint();
      // Perl is in every Debian; it keeps descriptor and pid across its exec.
      const opener = `
        use Socket; use POSIX (); $^F = 9;
        socket(my $s, PF_INET, SOCK_STREAM, 0); setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
        bind($s, sockaddr_in(${port}, inet_aton("${host}"))) or die; listen($s, 10);
        POSIX::dup2(fileno($s), 3);
        $ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 1; $ENV{LISTEN_FDNAMES} = "https";
        exec { $ARGV[0] } @ARGV;`;
      const command = ["perl", "-e", opener, ...context.target.command];
      const activated = context.like({ ...context.target, command });
      const { stud } = await upgradable(activated, { more: 'frontend = "systemd:https"\n' });
      const second = await upgraded(context, stud, stud.pid);
      assert.equal(String(await exchangeOnce({ host, port }, "hello")), "hello");
      await until(() => !isAlive(stud.pid), "the first process's exit");
      await upgraded(context, stud, second);
      await until(() => !isAlive(second), "the second process's exit");
      assert.equal(String(await exchangeOnce({ host, port }, "hello")), "hello");
    },
  },
  {
    name: "a daemon's successor is a daemon too, and finds relative paths",
    async run(context) {
      const { directory, file, frontend, pidFile, exchange, write } = await configured(context);
      const log = join(directory, "stud.log");
      write({ more: `daemon = on\nlog-filename = "${log}"\n` });
      const inDirectory = ["sh", "-c", 'cd "$0" && exec "$@"', directory];
      const target = { ...context.target, command: [...inDirectory, ...context.target.command] };
      const words = ["--config=stud.conf"];
      assert.ok(file.endsWith("/stud.conf"));
      const { code, stderr } = await runStud(target, words);
      assert.equal(code, 0, stderr);
      const pid = () => Number(readFileSync(pidFile, "utf8"));
      const first = pid();
      endWith(context, first);
      process.kill(first, "SIGUSR2");
      await until(() => readFileSync(log, "utf8").includes('"upgraded"'), "the upgrade");
      const second = pid();
      endWith(context, second);
      assert.notEqual(second, first);
      await until(() => !isAlive(first), "the first process's exit");
      const session = readFileSync(`/proc/${second}/stat`, "utf8").split(") ")[1]!.split(" ")[3];
      assert.equal(session, String(second), "it leads a session of its own");
      await until(() => readlinkSync(`/proc/${second}/cwd`) === "/", "its change of directory");
      assert.equal(String(await exchange(frontend, "hello")), "hello");
    },
  },
  {
    name: "a configuration from standard input, and the dialect, are passed to the successor",
    async run(context) {
      const { file, frontend, exchange } = await configured(context);
      const stdin = readFileSync(file, "utf8").replace("workers = 1", "workers = 2");
      const stud = await context.launch(["--compat=stud", "--config=-"], {
        ...{ backend: 0, exact: true, frontend, stdin },
      });
      await stud.waitForLog(({ event }) => event === "ready", "stud is ready");
      let pid = stud.pid;
      for (const _ of [1, 2]) pid = await upgraded(context, stud, pid);
      assert.equal(workersOf(pid).length, 2);
      assert.equal(String(await exchange(frontend, "hello")), "hello");
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
      assert.deepEqual(words.slice(-2), ["--compat=stud", "--config=-"]);
    },
  },
  {
    name: "the new process's workers have the configured user and root directory too",
    appliesTo: () => process.getuid!() === 0,
    async run(context) {
      const jail = mkdtempSync(join(context.certificates.directory, "jail-"));
      const more = `user = "nobody"\nchroot = "${jail}"\n`;
      const { stud, frontend, exchange } = await upgradable(context, { more });
      const pid = await upgraded(context, stud, stud.pid);
      const [worker] = workersOf(pid);
      assert.equal(userOf(worker!), NOBODY);
      assert.equal(readlinkSync(`/proc/${worker}/root`), jail);
      assert.equal(userOf(pid), 0);
      assert.equal(String(await exchange(frontend, "hello")), "hello");
    },
  },
  {
    name: "no descriptors accumulate over several upgrades",
    async run(context) {
      const { stud, pidFile } = await upgradable(context, {});
      const before = { master: kinds(descriptors(stud.pid)), worker: descriptors(stud.worker()) };
      assert.equal(before.master[pidFile], 1);
      let pid = stud.pid;
      for (const which of ["first", "second", "third"]) {
        const old = pid;
        pid = await upgraded(context, stud, old);
        await until(() => !isAlive(old), `the ${which} process's exit`);
        const isSame = () => isDeepStrictEqual(kinds(descriptors(pid)), before.master);
        await until(isSame, `${JSON.stringify(before.master)} after the ${which}`);
      }
      const [worker] = workersOf(pid);
      assert.ok(descriptors(worker!).every((file) => file !== pidFile));
      const held = sockets(before.worker);
      await until(() => sockets(descriptors(worker!)) === held, `${held} sockets in the worker`);
    },
  },
  {
    name: "the executable is replaced: workers keep their version, and SIGUSR2 starts the new one",
    appliesTo: isCompiled,
    async run(context) {
      const directory = mkdtempSync(join(root, "dist", "upgrade-"));
      context.after(() => rmSync(directory, { recursive: true, force: true }));
      const program = join(directory, "stud");
      linkSync(context.target.command[0]!, program);
      const renamed = context.like({ ...context.target, command: [program] });
      const { stud, frontend } = await upgradable(renamed, {});
      replace(program, "#!/bin/sh\nexit 1\n");
      process.kill(stud.worker(), "SIGKILL");
      const started = () => stud.logs.filter(({ event }) => event === "worker-started").length;
      await until(() => started() === 2, "a successor of the running version");
      assert.equal(String(await exchangeOnce(frontend, "hello")), "hello");
      const copy = join(directory, "copy");
      copyFileSync(context.target.command[0]!, copy);
      renameSync(copy, program);
      const pid = await upgraded(context, stud, stud.pid);
      assert.equal(readlinkSync(`/proc/${pid}/exe`), program);
      assert.equal(String(await exchangeOnce(frontend, "hello")), "hello");
    },
  },
];

interface Variables {
  readonly frontends?: readonly Endpoint[];
  readonly workers?: number;
  readonly pidFile?: string;
  readonly more?: string;
}

/** Writes a configuration for an echo backend, with a pid file beside it. */
async function configured(context: Context) {
  const directory = mkdtempSync(join(context.certificates.directory, "upgrade-"));
  const file = join(directory, "stud.conf");
  const usualPidFile = join(directory, "stud.pid");
  const frontend = await freeEndpoint();
  const backend = (await context.echo()).port;
  const write = (variables: Variables) => {
    const { frontends = [frontend], workers = 1, pidFile = usualPidFile, more = "" } = variables;
    const lines = [
      ...frontends.map(({ host, port }) => `frontend = "[${host}]:${port}"`),
      `backend = "[127.0.0.1]:${backend}"`,
      `pem-file = "${context.certificates.localhost}"`,
      `workers = ${workers}`,
      `pidfile = "${pidFile}"`,
      'log-format = "json"',
      more,
    ];
    writeFileSync(file, lines.join("\n"));
  };
  write({});
  const exchange = (endpoint: Endpoint, text: string) => {
    if (context.target.adoptSockets) return exchangeOnce(endpoint, text);
    // Workers that bind their own sockets lose their queues when they stop listening.
    const attempt = () => exchangeOnce(endpoint, text).catch(() => undefined);
    return until(attempt, "an answer") as Promise<Buffer>;
  };
  return { directory, file, pidFile: usualPidFile, frontend, write, exchange };
}

/** Starts a stud with such a configuration and waits until it is ready. */
export async function upgradable(context: Context, variables: Variables) {
  const made = await configured(context);
  const { file, frontend, write } = made;
  write(variables);
  const options = { backend: 0, frontend, exact: true };
  const stud = await context.launch([`--config=${file}`], options);
  await stud.waitForLog(({ event }) => event === "ready", "stud is ready");
  stud.workers();
  return { ...made, stud };
}

/** The same, started by a symbolic link. */
async function linked(context: Context) {
  const [program, ...more] = context.target.command;
  const link = join(mkdtempSync(join(context.certificates.directory, "link-")), "stud");
  symlinkSync(program!, link);
  const target = { ...context.target, command: [link, ...more] };
  return { ...await upgradable(context.like(target), {}), link };
}

/**
 * Sends SIGUSR2 to a master and returns the pid of its successor, which is killed after the test.
 */
export async function upgraded(
  context: Context,
  stud: Stud,
  master: number,
): Promise<number> {
  const begun = () => stud.logged("upgrading");
  const before = begun().length;
  process.kill(master, "SIGUSR2");
  const line = await until(
    () => {
      const beginning = begun()[before];
      const after = beginning ? stud.logs.slice(stud.logs.indexOf(beginning)) : [];
      const failure = after.find(({ event }) => event === "upgrade-failed");
      if (failure) throw new Error(failure.message);
      return after.find(({ event }) => event === "upgraded");
    },
    "the upgrade",
  );
  const pid = Number(line!.pid);
  endWith(context, pid);
  return pid;
}

/** Kills a successor and its workers after the test. */
export function endWith(context: Context, pid: number): void {
  context.after(async () => {
    const workers = workersOf(pid);
    for (const each of [pid, ...workers]) killIfAlive(each);
    await until(() => ![pid, ...workers].some(isAlive), "a successor's exit");
  });
}

/** Begins an upgrade to a program that never reports a result; returns its pid. */
async function startHanging(context: Context, stud: Stud, link: string): Promise<number> {
  replace(link, "#!/bin/sh\nexec sleep 60\n");
  stud.signal("SIGUSR2");
  const pid = await until(() => {
    const workers = workersOf(stud.pid);
    const launcher = childrenOf(stud.pid).find((pid) => !workers.includes(pid));
    return launcher === undefined ? undefined : childrenOf(launcher)[0];
  }, "the new process");
  context.after(() => killIfAlive(pid!));
  return pid!;
}

/** Replaces a program by a script, in one step. */
function replace(program: string, script: string): void {
  writeFileSync(`${program}.new`, script);
  chmodSync(`${program}.new`, 0o755);
  renameSync(`${program}.new`, program);
}

/** Whether the process handles the signal. */
function isCaught(pid: number, signal: NodeJS.Signals): boolean {
  const status = existsSync(`/proc/${pid}/status`)
    ? readFileSync(`/proc/${pid}/status`, "utf8")
    : "";
  const caught = BigInt(`0x${/^SigCgt:\s+(\w+)$/m.exec(status)?.[1] ?? 0}`);
  return (caught >> BigInt(constants.signals[signal] - 1) & 1n) === 1n;
}

/** Returns the files that a process has open; some may be closed meanwhile. */
function descriptors(pid: number): string[] {
  const names = readdirSync(`/proc/${pid}/fd`);
  return names.flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}

/** Counts files by kind, without the runtime's own. */
function kinds(files: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const file of files) {
    const kind = file.startsWith("socket:") ? "socket" : file;
    if (kind === "socket" || /^\/memfd:|\.pid$/.test(file)) counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

function sockets(files: readonly string[]): number {
  return files.filter((file) => file.startsWith("socket:")).length;
}
