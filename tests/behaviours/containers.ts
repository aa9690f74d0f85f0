/** In containers and under limits of the system: process 1, control groups, cores, missing files. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exchange, openTls } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import { childrenOf, killIfAlive, ofThreads } from "../support/processes.ts";
import { runStud } from "../support/stud.ts";
import type { Target } from "../support/target.ts";
import { until, within } from "../support/until.ts";
import { allowedCores } from "../../src/os/processors.ts";

const isRoot = () => process.getuid!() === 0;

export const containers: readonly Behaviour[] = [
  {
    name: "process 1 refuses SIGUSR2 and collects orphans",
    appliesTo: isRoot,
    async run(context) {
      const namespace = ["unshare", "-p", "-m", "--fork", "--kill-child", "--mount-proc"];
      const stud = await wrapped(context, namespace).stud([], {
        backend: (await context.echo()).port,
      });
      const first = childrenOf(stud.pid)[0]!;
      process.kill(first, "SIGUSR2");
      const line = await stud.waitForLog(({ event }) => event === "upgrade-ignored", "the refusal");
      assert.match(line.message, /process 1 of its container, which ends with it/);
      const before = childrenOf(first);
      // Its parent is outside of the namespace, and exits before it.
      execFileSync("nsenter", ["-t", String(first), "-p", "sh", "-c", "sleep 0.5 & exit"]);
      const orphan = await until(
        () => childrenOf(first).find((pid) => !before.includes(pid)),
        "the orphan",
      );
      await until(() => !existsSync(`/proc/${orphan}`), "the end of the orphan");
      // A child of its own still has its exit reported.
      process.kill(before[0]!, "SIGKILL");
      const exit = await stud.waitForLog(({ event }) => event === "worker-exited", "the exit");
      assert.match(exit.message, /signal SIGKILL/);
      await until(() => stud.logged("worker-started").length === 2, "its successor");
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      process.kill(first, "SIGTERM");
      assert.equal((await within(stud.exited, "the stop")).code, 0);
    },
  },
  {
    name: "--daemon as process 1 is refused",
    appliesTo: isRoot,
    async run(context) {
      const namespace = ["unshare", "-p", "-m", "--fork", "--kill-child", "--mount-proc"];
      const { host, port } = await freeEndpoint();
      const { code, stderr } = await runStud(wrapped(context, namespace).target, [
        ...["--daemon", `--frontend=${host},${port}`, context.certificates.localhost],
      ]);
      assert.equal(code, 1);
      assert.match(
        stderr,
        /^stud: --daemon: this is process 1 of its container, .*; omit --daemon\n$/,
      );
    },
  },
  {
    name: "a full limit of tasks does not end the master, which recovers when it is raised",
    appliesTo: isRoot,
    waits: true,
    async run(context) {
      const group = pidsGroup(context);
      const enter = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', group];
      const stud = await wrapped(context, enter).stud(["-n", "2"], {
        backend: (await context.echo()).port,
      });
      const [victim] = stud.workers();
      const current = Number(readFileSync(join(group, "pids.current"), "utf8"));
      const tasks = readdirSync(`/proc/${victim}/task`).length;
      // Room for some of the threads of another worker.
      writeFileSync(join(group, "pids.max"), String(current - tasks + 4));
      process.kill(victim!, "SIGKILL");
      const refusals = () => stud.logged("worker-failed");
      await until(() => refusals().length >= 4, "attempts");
      assert.match(refusals()[0]!.message, /the limit of tasks has room for .*TasksMax/);
      // The delays between the attempts grow.
      const times = refusals().map(({ time }) => Date.parse(time));
      assert.ok(times[3]! - times[2]! > times[1]! - times[0]!, String(times));
      assert.equal(stud.workers().length, 1);
      assert.doesNotMatch(stud.stderr, /panic|crashed|abort/i);
      writeFileSync(join(group, "pids.max"), "max");
      await until(() => stud.workers().length === 2, "the second worker");
      await until(() => stud.logged("worker-started").length === 3, "it serves");
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      assert.equal((await stud.stop()).code, 0);
    },
  },
  {
    name: "--pin-workers and --workers=auto use only cores that are allowed",
    async run(context) {
      const core = String(allowedCores().at(-1));
      const confined = wrapped(context, ["taskset", "-c", core]);
      const pinned = await confined.stud(["-n", "2", "--pin-workers"], { backend: 1 });
      const cores = pinned.workers().map((pid) =>
        /^Cpus_allowed_list:\s+(\S+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
      );
      assert.deepEqual(cores, [core, core]);
      const counted = await confined.stud(["-n", "auto"], { backend: 1 });
      assert.equal(counted.workers().length, 1);
    },
  },
  {
    name: "a signal to the whole process group starts no worker and cuts nothing",
    async run(context) {
      const stud = await wrapped(context, ["setsid"]).stud(["-n", "2"], {
        backend: (await context.echo()).port,
      });
      const client = await openTls(stud.frontend);
      context.after(() => client.destroy());
      const started = stud.logged("worker-started").length;
      // As timeout(1) does: the process, then the group that it is in.
      process.kill(stud.pid, "SIGTERM");
      process.kill(-stud.pid, "SIGTERM");
      await stud.waitForLog(({ event }) => event === "stopping", "the stop");
      client.write("hello");
      await until(() => String(client.read() ?? "") === "hello", "the echo");
      client.end();
      assert.deepEqual(await within(stud.exited, "the exit"), { code: 0, signal: null });
      const lines = stud.logs.map(({ event }) => event);
      assert.equal(stud.logged("worker-started").length, started, String(lines));
    },
  },
  {
    name: "processes have names of their own, and workers die first when memory runs out",
    async run(context) {
      const stud = await context.stud([], { backend: 1 });
      const [master, worker] = [stud.pid, stud.worker()].map((pid) => ({
        name: readFileSync(`/proc/${pid}/comm`, "utf8").trim(),
        score: Number(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8")),
      }));
      assert.deepEqual([master!.name, worker!.name], ["stud", "stud: worker 1"]);
      assert.equal(worker!.score, Math.min(1000, master!.score + 200));
    },
  },
  {
    name: "workers have no ambient capabilities of the master",
    appliesTo: isRoot,
    async run(context) {
      const given = ["--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service"];
      // The tests' own directory is closed to others.
      const directory = mkdtempSync(join(tmpdir(), "stud-ambient-"));
      context.after(() => rmSync(directory, { recursive: true }));
      const pem = join(directory, "site.pem");
      writeFileSync(pem, readFileSync(context.certificates.localhost), { mode: 0o600 });
      execFileSync("chown", ["-R", "nobody", directory]);
      const { host } = await freeEndpoint();
      const frontend = { host, port: 443 };
      const user = ["setpriv", "--reuid=nobody", "--clear-groups", ...given];
      const stud = await wrapped(context, user).stud([pem], {
        ...{ backend: (await context.echo()).port, frontend },
        environment: { DENO_DIR: join(directory, "deno") },
      });
      const sets = (directory: string) =>
        [...readFileSync(`${directory}/status`, "utf8").matchAll(/^Cap(Prm|Eff|Amb):\s+(\w+)$/gm)]
          .map(([, , set]) => BigInt(`0x${set}`));
      const worker = stud.worker();
      // Where workers bind their sockets, only the thread that runs the event loop can drop them.
      const threads = context.target.adoptSockets
        ? ofThreads(worker, sets)
        : [sets(`/proc/${worker}`)];
      assert.deepEqual(new Set(threads.flat()), new Set([0n]));
      assert.equal(String(await exchange(frontend, "hello")), "hello");
      // The master still has them, for new sockets and a successor.
      assert.ok(sets(`/proc/${stud.pid}`).every((set) => set !== 0n));
    },
  },
  {
    name: "workers start while the program's file is half written",
    appliesTo: ({ runtime, isBuilt }) => isBuilt && runtime === "deno",
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "bundle-"));
      const bundle = join(directory, "stud-deno.js");
      cpSync(context.target.command.at(-1)!, bundle);
      const command = [...context.target.command.slice(0, -1), bundle];
      const stud = await context.like({ ...context.target, command }).stud([], {
        backend: (await context.echo()).port,
      });
      writeFileSync(bundle, readFileSync(bundle).subarray(0, 1000));
      process.kill(stud.worker(), "SIGKILL");
      await until(() => stud.logged("worker-started").length === 2, "its successor");
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
    },
  },
  {
    name: "without /proc, --version works and a start names what is missing",
    // The two other runtimes abort before they load any program.
    appliesTo: (target) => isRoot() && target.runtime === "node",
    async run(context) {
      const unmounted = ["unshare", "-m", "sh", "-c", 'umount -l /proc && exec "$0" "$@"'];
      const { target } = wrapped(context, unmounted);
      const version = await runStud(target, ["--version"]);
      assert.match(version.stdout, /^stud \d/);
      assert.deepEqual([version.code, version.stderr], [0, ""]);
      for (const words of [["--demo"], ["--test", context.certificates.localhost]]) {
        const { code, stderr } = await runStud(target, words);
        assert.equal(stderr, "stud: /proc is missing; mount it: mount -t proc proc /proc\n");
        assert.equal(code, 1);
      }
    },
  },
  {
    name: "in a directory that was removed, --version works",
    appliesTo: ({ runtime }) => runtime === "node",
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "removed-"));
      const gone = ["sh", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', directory];
      const { code, stdout, stderr } = await runStud(wrapped(context, gone).target, ["--version"]);
      assert.match(stdout, /^stud \d/);
      assert.deepEqual([code, stderr], [0, ""]);
    },
  },
  {
    name: "--demo needs no list of users, and starts as many workers as requested",
    appliesTo: isRoot,
    async run(context) {
      const bare = [
        "unshare",
        "-m",
        "sh",
        "-c",
        'mount --bind /dev/null /etc/passwd && exec "$0" "$@"',
      ];
      const frontend = await freeEndpoint();
      const words = ["--demo", "--workers=1", `--frontend=${frontend.host},${frontend.port}`];
      const stud = await wrapped(context, bare).launch([...words, "--log-format=json"], {
        ...{ backend: 0, exact: true, frontend },
      });
      const ready = await stud.waitForLog(({ event }) => event === "ready", "the start");
      assert.equal(ready.workers, 1);
      assert.equal(stud.workers().length, 1);
      assert.equal((await stud.stop()).code, 0);
    },
  },
];

/** The same context for the target under another program. */
function wrapped(context: Context, program: readonly string[]): Context & { target: Target } {
  return context.like({ ...context.target, command: [...program, ...context.target.command] });
}

/** Makes a control group for processes of this test, with a limit of tasks that can be set. */
function pidsGroup(context: Context): string {
  const legacy = "/sys/fs/cgroup/pids";
  const parent = existsSync(join(legacy, "cgroup.procs")) ? legacy : "/sys/fs/cgroup";
  const group = join(parent, `stud-test-${process.pid}-${context.target.name}`);
  mkdirSync(group);
  context.after(async () => {
    const members = () =>
      readFileSync(join(group, "cgroup.procs"), "utf8").split("\n").filter(Boolean);
    writeFileSync(join(group, "pids.max"), "max");
    for (const pid of members()) killIfAlive(Number(pid));
    await until(() => members().length === 0, "the end of the group's processes");
    rmdirSync(group);
  });
  return group;
}
