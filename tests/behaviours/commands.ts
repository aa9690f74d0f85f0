/** `stud status` and `stud reload` against a running stud. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { exchange, openTls } from "../support/client.ts";
import { run } from "../support/commands.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import { killIfAlive } from "../support/processes.ts";
import { runStud, type Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";

/** A stop does not wait for connections. */
const SOON = "drain-timeout = 1\n";

/** The metrics of every build that `stud top` makes rates of. */
const COUNTED = [
  "stud_connections_accepted_total",
  "stud_handshakes_total",
  "stud_client_bytes_total",
  "stud_handshake_seconds",
  "stud_backend_connect_seconds",
];

const isRoot = () => process.getuid!() === 0;

export const commands: readonly Behaviour[] = [
  {
    name: "status shows a running stud, finds it in three ways, and its exit code is its health",
    async run(context) {
      const backend = await context.echo();
      const { stud, ask, socket, pidfile, config } = await administered(context, backend.port);
      await exchange(stud.frontend, "hello");
      // Workers report their counts at intervals.
      const counted = new RegExp(`^ +[01] +1 {2}.*:${stud.frontend.port}`, "m");
      const well = await until(async () => {
        const found = await ask("status", `--admin=${socket}`);
        return counted.test(found.stdout) ? found : undefined;
      }, "the connection in the status") as Awaited<ReturnType<typeof ask>>;
      assert.deepEqual([well.code, well.stderr], [0, ""], well.stdout + well.stderr);
      assert.match(well.stdout, /^stud is well\nstud \d/);
      assert.match(well.stdout, /^Configuration {3}\/.*stud\.conf$/m);
      assert.match(well.stdout, new RegExp(`^ +1 +${stud.worker()} +1 {2}serving`, "m"));
      assert.match(well.stdout, /^ {2}up .* default {2}/m);
      assert.match(well.stdout, /^ {2}\d+ days? .*localhost; ECDSA/m);
      for (const line of well.stdout.split("\n")) assert.ok(line.length <= 80, line);
      for (const way of [`--pidfile=${pidfile}`, `--config=${config}`]) {
        const found = await ask("status", way, "--json");
        assert.deepEqual([found.code, found.stderr], [0, ""]);
        const { version, master, frontends, metrics } = JSON.parse(found.stdout);
        // What stud top makes rates of.
        const names = metrics.map(({ name }: { readonly name: string }) => name);
        assert.deepEqual(COUNTED.filter((name) => !names.includes(name)), []);
        assert.deepEqual([version, master.pid, frontends[0].accepted], [1, stud.pid, 1], way);
      }
      await backend.close();
      (await openTls(stud.frontend)).on("error", () => {}).write("hello");
      await stud.waitForLog(({ event }) => event === "backend-down", "the outage");
      const degraded = await until(async () => {
        const found = await ask("status", `--admin=${socket}`);
        return found.code === 1 ? found : undefined;
      }, "the outage in the status");
      assert.match(
        degraded!.stdout,
        /^stud is degraded: 1 error\n[^]*^Problems\n {2}error backend-down: /m,
      );
      await stud.stop();
      const away = await ask("status", `--admin=${socket}`);
      assert.deepEqual([away.code, away.stdout], [2, ""]);
      assert.match(away.stderr, /^stud: unix:\/[^\n]* is stud running[^\n]*\n$/);
    },
  },
  {
    name: "reload waits for the result, which is its exit code and its output",
    async run(context) {
      const { ask, stud, socket, config, write } = await administered(
        context,
        (await context.echo()).port,
      );
      const good = await ask("reload", `--admin=${socket}`);
      assert.deepEqual([good.code, good.stderr], [0, ""], good.stderr);
      assert.match(good.stdout, /^reload succeeded in [\d.]+ s\n$/);
      assert.equal(stud.logged("reloaded").length, 1);
      write("workers = many\n");
      const bad = await ask("reload", "--wait", `--admin=${socket}`);
      assert.deepEqual([bad.code, bad.stdout], [1, ""]);
      assert.match(
        bad.stderr,
        /^stud: reload failed after [\d.]+ s; the former configuration stays in use\n {2}[^\n]*stud\.conf:/,
      );
      assert.ok(bad.stderr.includes(config));
      const status = await ask("status", `--admin=${socket}`);
      assert.match(status.stdout, /^Last reload {5}failed [^]*^ {16}.*stud\.conf:/m);
      assert.match(status.stdout, /^Reloads {9}1 succeeded, 1 failed$/m);
      write("");
      const later = await ask("reload", "--no-wait", `--admin=${socket}`);
      assert.deepEqual([later.code, later.stderr], [0, ""]);
      assert.match(
        later.stdout,
        /^reload (requested; stud status shows its result|succeeded in .* s)\n$/,
      );
      await until(() => stud.logged("reloaded").length === 2, "the second reload");
    },
  },
  {
    name: "reload of a stud without an admin endpoint sends SIGHUP, and the result is not known",
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "reload-"));
      const pidfile = join(directory, "pid");
      const stud = await context.stud([`--pidfile=${pidfile}`], {
        backend: (await context.echo()).port,
      });
      const ask = (...words: string[]) => runStud(context.target, words);
      const unknown = await ask("reload", `--pidfile=${pidfile}`);
      const text = `process ${stud.pid} got SIGHUP; its result is only in its log, since it runs ` +
        "without --admin\n";
      assert.deepEqual([unknown.code, unknown.stdout, unknown.stderr], [2, "", `stud: ${text}`]);
      await until(() => stud.logged("reloaded").length === 1, "the reload");
      const requested = await ask("reload", "--no-wait", `--pidfile=${pidfile}`);
      assert.deepEqual([requested.code, requested.stdout, requested.stderr], [0, text, ""]);
      await until(() => stud.logged("reloaded").length === 2, "the second reload");
      const status = await ask("status", `--pidfile=${pidfile}`);
      assert.equal(status.code, 2);
      assert.match(
        status.stderr,
        /^stud: .*: this stud has no admin endpoint; start it with --admin/,
      );
    },
  },
  {
    name: "status finds a daemon with relative paths, before and after an upgrade",
    async run(context) {
      const directory = mkdtempSync(join(tmpdir(), "stud-relative-"));
      const pidfile = join(directory, "pid");
      const pid = () => Number(readFileSync(pidfile, "utf8"));
      const [frontend, backend] = [await freeEndpoint(), await context.echo()];
      writeFileSync(
        join(directory, "stud.conf"),
        `admin = "${directory}/admin.sock"\ncertificate-warning-days = 0\n` +
          `frontend = "${frontend.host},${frontend.port}"\n` +
          `backend = "127.0.0.1,${backend.port}"\nworkers = 1\ndaemon = on\npidfile = "pid"\n`,
      );
      const words = ["--config=stud.conf", context.certificates.localhost];
      const options = { backend: backend.port, directory, exact: true };
      const starter = await context.launch(words, options);
      assert.equal((await starter.exited).code, 0, starter.stderr);
      context.after(() => killIfAlive(pid()));
      const first = pid();
      const ask = (...more: string[]) =>
        runStud(context.target, ["status", ...more, `--pidfile=${pidfile}`]);
      const found = await ask();
      assert.deepEqual([found.code, found.stderr], [0, ""]);
      process.kill(first, "SIGUSR2");
      await until(() => pid() !== first, "the pid of the successor");
      const pids = await until(async () => {
        const { code, stdout } = await ask("--json");
        return code === 0 ? [JSON.parse(stdout).master.pid, pid()] : undefined;
      }, "the status of the successor") as number[];
      assert.equal(pids[0], pids[1]);
    },
  },
  {
    name:
      "a token comes from its file or from the configuration; without one, or without the permission for the socket, one line says so",
    async run(context) {
      const directory = mkdtempSync(join(tmpdir(), "stud-token-"));
      const [token, other] = [join(directory, "token"), join(directory, "other")];
      writeFileSync(token, "correct-horse-battery-staple\n", { mode: 0o600 });
      writeFileSync(other, "wrong-horse-battery-staple\n", { mode: 0o600 });
      const { host, port } = await freeEndpoint();
      const config = join(directory, "stud.conf");
      writeFileSync(config, `admin = "${host},${port}"\nadmin-token-file = "${token}"\n`);
      await context.stud([`--config=${config}`, "--certificate-warning-days=0"], {
        backend: (await context.echo()).port,
      });
      const ask = async (...words: string[]) => {
        const { code, stderr } = await runStud(context.target, ["status", ...words]);
        return [code, stderr];
      };
      const admin = `--admin=${host},${port}`;
      const where = `stud: ${host}:${port}: `;
      assert.deepEqual(await ask(admin), [
        2,
        `${where}it requires a token; give --admin-token-file\n`,
      ]);
      assert.deepEqual(await ask(admin, `--admin-token-file=${other}`), [
        2,
        `${where}it does not accept the token; check --admin-token-file\n`,
      ]);
      assert.deepEqual(await ask(admin, `--admin-token-file=${token}`), [0, ""]);
      assert.deepEqual(await ask(`--config=${config}`), [0, ""]);
      if (!isRoot()) return;
      const unix = await administered(context, 9);
      chmodSync(unix.socket, 0o600);
      chmodSync(dirname(unix.socket), 0o755);
      const nobody = ["setpriv", "--reuid=65534", "--clear-groups", ...context.target.command];
      const denied = await run(nobody[0]!, [
        ...nobody.slice(1),
        "status",
        `--admin=${unix.socket}`,
      ]);
      // A user who may not read the program cannot start it.
      if (denied.code === 127 || denied.code === 126) return;
      assert.match(denied.stderr, /: Permission denied; run this as root or as a user with access/);
      assert.equal(denied.code, 2);
    },
  },
  {
    name: "status takes less than 0.1 s of CPU time",
    appliesTo: ({ name }) => name === "dist-stud",
    alone: true,
    async run(context) {
      const { socket } = await administered(context, (await context.echo()).port);
      const script = 'TIMEFORMAT="%U %S"; for i in 1 2 3; do time "$@" >/dev/null; done';
      const words = ["-c", script, "bash", ...context.target.command, "status"];
      const { stderr } = await run("bash", [...words, `--admin=${socket}`]);
      const times = stderr.trim().split("\n").map((line) => {
        const [user, system] = line.split(" ").map(Number);
        return user! + system!;
      });
      assert.equal(times.length, 3, stderr);
      assert.ok(Math.min(...times) < 0.1, stderr);
    },
  },
];

interface Administered {
  readonly stud: Stud;
  readonly socket: string;
  readonly pidfile: string;
  readonly config: string;
  /** Adds lines to its configuration file. */
  write(lines: string): void;
  /** Runs a command of the same build. */
  ask(...words: string[]): ReturnType<typeof runStud>;
}

/** A stud with an admin endpoint, whose certificate is not about to end. */
async function administered(context: Context, backend: number): Promise<Administered> {
  const directory = mkdtempSync(join(tmpdir(), "stud-commands-"));
  const config = join(directory, "stud.conf");
  const socket = join(directory, "admin.sock");
  const pidfile = join(directory, "pid");
  const write = (lines: string) =>
    writeFileSync(config, `admin = "${socket}"\ncertificate-warning-days = 0\n${SOON}${lines}`);
  write("");
  const stud = await context.stud([`--config=${config}`, `--pidfile=${pidfile}`], { backend });
  return {
    stud,
    socket,
    pidfile,
    config,
    write,
    ask: (...words) => runStud(context.target, words),
  };
}
