/** What init scripts rely on: daemon, pid file, log file, syslog, exit codes. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { exchange } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { receiveDatagrams } from "../support/datagrams.ts";
import { type Endpoint, freeEndpoint } from "../support/endpoints.ts";
import { ageOf, isAlive, killIfAlive, listeningSockets, workersOf } from "../support/processes.ts";
import { runStud } from "../support/stud.ts";
import { until } from "../support/until.ts";

export const service: readonly Behaviour[] = [
  {
    name: "--daemon returns when it serves, and prints the pid of the background process",
    async run(context) {
      const { words, frontend, pidFile, logFile } = await background(context);
      const { code, stdout, stderr } = await runStud(context.target, words);
      assert.equal(stderr, "");
      assert.equal(code, 0);
      // Init scripts read the fifth word.
      const pid = Number(/^\{core\} Daemonized as pid (\d+)\.\n$/.exec(stdout)?.[1]);
      assert.equal(readFileSync(pidFile, "utf8"), String(pid));
      assert.equal(String(await exchange(frontend, "hello")), "hello");
      const master = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
      assert.equal(master[3], String(pid), "it leads a session of its own");
      process.kill(pid, "SIGTERM");
      await until(() => !isAlive(pid), "the daemon's exit");
      assert.equal(existsSync(pidFile), false);
      assert.match(readFileSync(logFile, "utf8"), /"event":"stopped"/);
    },
  },
  {
    name: "--daemon: errors are printed in the foreground, with exit code 1",
    async run(context) {
      const { words, pidFile } = await background(context);
      const { code, stdout, stderr } = await runStud(context.target, [
        ...words,
        "--frontend=192.0.2.1,443",
      ]);
      assert.equal(code, 1);
      assert.equal(stdout, "");
      assert.match(stderr, /^stud: .*192\.0\.2\.1.*\n$/);
      assert.equal(existsSync(pidFile), false);
    },
  },
  {
    name: "--daemon: relative paths still work at a reload",
    async run(context) {
      const { words, pidFile, logFile, directory, frontend } = await background(context);
      writeFileSync(join(directory, "site.pem"), readFileSync(context.certificates.a));
      const config = join(directory, "stud.conf");
      writeFileSync(config, "pem-file = site.pem\n");
      const inDirectory = ["sh", "-c", 'cd "$0" && exec "$@"', directory];
      const target = { ...context.target, command: [...inDirectory, ...context.target.command] };
      const all = words.filter((word) => !word.endsWith(".pem"));
      const { code, stderr } = await runStud(target, [...all, "--config=stud.conf"]);
      assert.equal(code, 0, stderr);
      const pid = Number(readFileSync(pidFile, "utf8"));
      writeFileSync(join(directory, "site.pem"), readFileSync(context.certificates.a2));
      process.kill(pid, "SIGHUP");
      await until(() => readFileSync(logFile, "utf8").includes('"reloaded"'), "the reload");
      const client = await context.tls(frontend);
      assert.equal(client.getPeerCertificate().subject.CN, "a2");
    },
  },
  {
    name: "--pidfile: a second process is refused while the first runs and serves",
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "pid-"));
      const pidFile = join(directory, "stud.pid");
      const backend = (await context.echo()).port;
      const stud = await context.stud([`--pidfile=${pidFile}`], { backend });
      assert.equal(readFileSync(pidFile, "utf8"), String(stud.pid));
      const { host, port } = await freeEndpoint();
      const words = [`--pidfile=${pidFile}`, `--frontend=${host},${port}`];
      const second = await runStud(context.target, [...words, context.certificates.localhost]);
      assert.equal(second.code, 1);
      assert.ok(second.stderr.includes(pidFile), second.stderr);
      assert.equal(readFileSync(pidFile, "utf8"), String(stud.pid));
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      await stud.stop();
      assert.equal(existsSync(pidFile), false);
    },
  },
  {
    name: "the pid file of a killed process is reused",
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "pid-"));
      const pidFile = join(directory, "stud.pid");
      const backend = (await context.echo()).port;
      const first = await context.stud([`--pidfile=${pidFile}`], { backend });
      await first.destroy();
      assert.ok(existsSync(pidFile));
      const second = await context.stud([`--pidfile=${pidFile}`], { backend });
      assert.equal(readFileSync(pidFile, "utf8"), String(second.pid));
    },
  },
  {
    name: "--log-filename: SIGUSR1 reopens the file after a rotation",
    appliesTo: ({ runtime }) => runtime !== "deno",
    async run(context) {
      const file = join(mkdtempSync(join(context.certificates.directory, "log-")), "stud.log");
      const { stud, ready } = await loggingTo(context, [`--log-filename=${file}`], file);
      await ready;
      renameSync(file, `${file}.1`);
      stud.signal("SIGUSR1");
      await until(() => existsSync(file), "the new file");
      stud.signal("SIGHUP");
      await until(
        () => readFileSync(file, "utf8").includes('"reloaded"'),
        "a line in the new file",
      );
      assert.doesNotMatch(readFileSync(`${file}.1`, "utf8"), /reloaded/);
    },
  },
  {
    name: "--log-filename: a renamed file is replaced without a signal",
    async run(context) {
      const file = join(mkdtempSync(join(context.certificates.directory, "log-")), "stud.log");
      const { stud, ready } = await loggingTo(context, [`--log-filename=${file}`], file);
      await ready;
      renameSync(file, `${file}.1`);
      await until(() => {
        stud.signal("SIGHUP");
        return existsSync(file);
      }, "the new file");
    },
  },
  {
    name: "SIGUSR1 neither ends a process nor opens a debugger",
    fromSource: true,
    async run(context) {
      const stud = await context.stud([], { backend: (await context.echo()).port });
      const pids = [stud.pid, stud.worker()];
      // Deno listens for the signal after half a second.
      await until(() => pids.every((pid) => ageOf(pid) > 1500), "the end of the start");
      const before = pids.map(listeningSockets);
      for (let i = 0; i < 3; i++) {
        for (const pid of pids) process.kill(pid, "SIGUSR1");
        // A round trip after each, so that the signals have been handled.
        assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      }
      assert.deepEqual(pids.map(listeningSockets), before);
      assert.deepEqual(pids.filter(isAlive), pids);
      stud.signal("SIGHUP");
      await stud.waitForLog(({ event }) => event === "reloaded", "the reload");
      assert.deepEqual(listeningSockets(stud.pid), before[0]);
      assert.doesNotMatch(stud.stderr, /debugger/i);
    },
  },
  {
    name: "if the log file cannot be opened, the exit code is 1, or 2 in hitch's dialect",
    async run(context) {
      const words = ["--log-filename=/nonexistent/stud.log", context.certificates.localhost];
      for (const [dialect, expected] of [["stud", 1], ["hitch", 2]] as const) {
        const all = [`--compat=${dialect}`, ...words, "--user=nobody"];
        const { code, stderr } = await runStud(context.target, all);
        assert.equal(code, expected, stderr);
        assert.match(stderr, /\/nonexistent\/stud\.log/);
      }
    },
  },
  {
    name: "--syslog sends each line to syslog",
    appliesTo: () => process.getuid!() === 0,
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "syslog-"));
      const { datagrams, stop } = await receiveDatagrams(join(directory, "log"));
      context.after(stop);
      const log = () => datagrams().join("\n");
      // The socket's path is fixed, so stud gets its own /dev that contains it.
      const mount = "mount -t tmpfs none /mnt && cp -a /dev/null /dev/zero /dev/urandom " +
        '/dev/random /mnt/ && ln -s "$0/log" /mnt/log && mount --move /mnt /dev && exec "$@"';
      const command = ["unshare", "-m", "sh", "-c", mount, directory, ...context.target.command];
      const isolated = context.like({ ...context.target, command });
      const words = ["--syslog", "--syslog-facility=local3"];
      await isolated.stud(words, { backend: (await context.echo()).port });
      await until(() => log().includes("listening on"), "a line in syslog");
      // local3 is 19, info is 6.
      assert.match(log(), /<158>\w{3} [ \d]\d \d\d:\d\d:\d\d stud\[\d+\]: .*listening on/);
    },
  },
];

/** Returns the arguments of a stud in the background, which is killed after the test. */
async function background(context: Context) {
  const directory = mkdtempSync(join(context.certificates.directory, "daemon-"));
  const pidFile = join(directory, "stud.pid");
  const logFile = join(directory, "stud.log");
  const frontend: Endpoint = await freeEndpoint();
  const backend = (await context.echo()).port;
  context.after(async () => {
    if (!existsSync(pidFile)) return;
    const pid = Number(readFileSync(pidFile, "utf8"));
    for (const each of [...workersOf(pid), pid]) killIfAlive(each);
    await until(() => !isAlive(pid), "the daemon's exit");
  });
  const words = [
    ...["--daemon", "-n", "1", "--log-format=json"],
    ...[`--pidfile=${pidFile}`, `--log-filename=${logFile}`],
    ...[`--backend=127.0.0.1,${backend}`, `--frontend=${frontend.host},${frontend.port}`],
    context.certificates.localhost,
  ];
  return { words, directory, pidFile, logFile, frontend };
}

/** Starts a stud that does not log to standard error. */
async function loggingTo(context: Context, words: readonly string[], file: string) {
  const stud = await context.launch(words, { backend: (await context.echo()).port });
  const isReady = () => existsSync(file) && readFileSync(file, "utf8").includes('"ready"');
  return { stud, ready: until(isReady, "stud is ready") };
}
