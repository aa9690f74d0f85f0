/** What stud needs of its machine fails while it serves: a directory, a disk, processes that hang. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { randomSecret } from "../../src/tickets/ring.ts";
import { exchange, openTls } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import {
  childrenOf,
  descriptorCount,
  helperOf,
  hold,
  isAlive,
  killIfAlive,
} from "../support/processes.ts";
import type { Stud } from "../support/stud.ts";
import { until, within } from "../support/until.ts";
import { reloadable, reloaded } from "./reload.ts";
import { upgradable, upgraded } from "./upgrade.ts";

export const surroundings: readonly Behaviour[] = [
  {
    name: "the working directory is removed: workers are replaced, reloads and upgrades succeed",
    fromSource: true,
    async run(context) {
      const { stud, directory } = await inDirectory(context, [context.certificates.localhost]);
      rmSync(directory, { recursive: true });
      await replaced(stud);
      assert.equal(await answers(stud), "hello");
      await reloaded(stud);
      assert.equal(await answers(stud), "hello");
      await upgraded(context, stud, stud.pid);
      assert.equal(await answers(stud), "hello");
    },
  },
  {
    name: "relative paths mean the first working directory, also once it is removed or replaced",
    async run(context) {
      const { stud, directory } = await inDirectory(context, ["site.pem"], (directory) => {
        copyFileSync(context.certificates.localhost, join(directory, "site.pem"));
      });
      rmSync(directory, { recursive: true });
      await replaced(stud);
      stud.signal("SIGHUP");
      const failure = await stud.waitForLog(({ event }) => event === "reload-failed", "a failure");
      const file = join(directory, "site.pem");
      assert.ok(failure.message.includes(`${file}: it does not exist`), failure.message);
      stud.signal("SIGUSR2");
      const other = await stud.waitForLog(({ event }) => event === "upgrade-failed", "a failure");
      assert.ok(other.message.includes(`${file}: it does not exist`), other.message);
      mkdirSync(directory);
      copyFileSync(context.certificates.localhost, file);
      stud.logs.length = 0;
      await reloaded(stud);
      rmSync(directory, { recursive: true });
      mkdirSync(directory);
      copyFileSync(context.certificates.localhost, file);
      await upgraded(context, stud, stud.pid);
      assert.equal(await answers(stud), "hello");
    },
  },
  {
    name: "a second signal ends a stop although the process that was replaced hangs",
    waits: true,
    async run(context) {
      const { stud, frontend, exchange } = await upgradable(context, {});
      const client = await context.tls(frontend);
      const old = stud.workers();
      const pid = await upgraded(context, stud, stud.pid);
      assert.equal(String(await exchange(frontend, "hello")), "hello");
      await hold(stud.pid);
      process.kill(pid, "SIGTERM");
      await stud.waitForLog(({ event }) => event === "stopping", "the stop");
      process.kill(pid, "SIGINT");
      await until(() => !isAlive(pid), "its exit", 15_000);
      assert.ok(!isAlive(stud.pid));
      client.destroy();
      await until(() => !old.some(isAlive), "the end of the workers without a master");
    },
  },
  {
    name: "a stop ends an upgrade whose new process hangs",
    async run(context) {
      const { stud, frontend } = await upgradable(context, {});
      stud.signal("SIGUSR2");
      const pid = await until(
        // A child of the launcher.
        () => childrenOf(stud.pid).flatMap(childrenOf).find(isSuccessor),
        "the new process",
      );
      context.after(() => killIfAlive(pid!));
      await hold(pid!);
      stud.signal("SIGTERM");
      await until(() => !isAlive(stud.pid), "its exit", 20_000);
      await until(() => !isAlive(pid!), "the end of the new process");
      // Nothing holds the address any more.
      const { code } = await exchange(frontend, "hello").then(
        () => ({ code: "" }),
        (error) => error,
      );
      assert.equal(code, "ECONNREFUSED");
    },
  },
  ...(["@ocsp", "@peers"] as const).map((helper): Behaviour => ({
    name: `a stop ends although the helper process ${helper} hangs, and kills that`,
    appliesTo: ({ staples }) => staples,
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "helper-"));
      const stud = await context.stud(await helperWords(helper, directory), {
        backend: (await context.echo()).port,
      });
      const pid = await until(() => helperOf(stud.pid, helper), "the helper");
      context.after(() => killIfAlive(pid!));
      await hold(pid!);
      // The helper has the same standard error, so this includes the helper's end.
      assert.deepEqual(await stud.stop(), { code: 0, signal: null });
      assert.ok(!isAlive(pid!));
    },
  })),
  {
    name: "at the limit of open files a reload says that no worker can start, and nothing leaks",
    async run(context) {
      const { stud, exchange } = await reloadable(context);
      await reloaded(stud);
      const before = descriptorCount(stud.pid);
      const restore = limitDescriptors(stud.pid, 6);
      process.kill(stud.worker(), "SIGKILL");
      await until(() => stud.logged("worker-failed").length >= 4, "failed starts");
      stud.signal("SIGHUP");
      const { message } = await stud.waitForLog(
        ({ event }) => event === "reload-failed",
        "a failure",
      );
      assert.match(message, /worker 1 cannot start: .*\(the limit of open files is reached\)$/);
      assert.equal(stud.logged("reloaded").length, 1, "no worker runs that could use it");
      restore();
      stud.logs.length = 0;
      await reloaded(stud);
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      await until(() => descriptorCount(stud.pid) <= before, `${before} descriptors, as before`);
    },
  },
  {
    name: "at the limit of a file's size log lines are lost and a reload may fail, nothing else",
    async run(context) {
      const file = join(mkdtempSync(join(context.certificates.directory, "log-")), "stud.log");
      const { stud, pem, write } = await reloadable(context);
      const served = async () => {
        const client = await openTls(stud.frontend, { servername: "a.example" });
        const { CN } = client.getPeerCertificate().subject;
        client.destroy();
        return CN;
      };
      write({ more: `log-filename = "${file}"\nlog-level = 2` });
      stud.signal("SIGHUP");
      const log = () => existsSync(file) ? readFileSync(file, "utf8") : "";
      await until(() => log().includes('"reloaded"'), "the reload in the log file");
      const limit = (bytes: string) =>
        spawnSync("prlimit", [`--pid=${stud.pid}`, `--fsize=${bytes}`]);
      limit(`${log().length + 1000}:`);
      for (let i = 0; i < 20; i++) assert.equal(await served(), "a");
      copyFileSync(context.certificates.a2, pem);
      limit("10:");
      stud.signal("SIGHUP");
      const [worker] = stud.workers();
      process.kill(worker!, "SIGKILL");
      await until(() => stud.workers().some((pid) => pid !== worker), "another worker");
      limit("unlimited:");
      stud.signal("SIGHUP");
      await until(async () => await served().catch(() => "") === "a2", "the reload");
      await until(() => log().includes('"log-dropped"'), "the number of lost lines");
      assert.doesNotMatch(log(), /internal error/);
      assert.deepEqual(await stud.stop(), { code: 0, signal: null });
    },
  },
  {
    name: "a pid file on a full disk is not left empty",
    async run(context) {
      const disk = fullDisk(context);
      if (!disk) return;
      const file = join(disk, "stud.pid");
      const stud = await context.launch([`--pidfile=${file}`], { backend: 1 });
      assert.equal((await within(stud.exited, "its exit")).code, 1);
      assert.match(stud.stderr, /^stud: --pidfile: cannot use .*: No space left on device; /);
      assert.ok(!existsSync(file));
    },
  },
];

/** A stud with a working directory of its own, which `fill` fills. */
async function inDirectory(
  context: Context,
  words: readonly string[],
  fill: (directory: string) => void = () => {},
) {
  const directory = mkdtempSync(join(context.certificates.directory, "directory-"));
  fill(directory);
  const { port } = await context.echo();
  return { stud: await context.stud(words, { backend: port, directory }), directory };
}

/** Kills the worker and waits until another one accepts. */
async function replaced(stud: Stud): Promise<void> {
  process.kill(stud.worker(), "SIGKILL");
  await until(() => stud.logged("worker-started").length === 2, "another worker");
}

async function answers(stud: Stud): Promise<string> {
  const answer = await until(
    () => exchange(stud.frontend, "hello").then(String, () => undefined),
    "an answer",
  );
  return answer!;
}

/** The options that make stud start the helper. */
async function helperWords(helper: "@ocsp" | "@peers", directory: string): Promise<string[]> {
  if (helper === "@ocsp") return [`--ocsp-dir=${directory}`];
  const at = await freeEndpoint();
  const secret = join(directory, "secret");
  writeFileSync(secret, `${randomSecret()}\n`, { mode: 0o600 });
  return [
    "--shared-cache=100",
    `--shared-cache-listen=${at.host},${at.port}`,
    "--shared-cache-peer=127.0.0.1,9",
    `--ticket-secret-file=${secret}`,
  ];
}

/** A small file system without free blocks, or undefined where none can be mounted. */
function fullDisk(context: Context): string | undefined {
  const disk = mkdtempSync(join(context.certificates.directory, "disk-"));
  const words = ["-t", "tmpfs", "-o", "size=4k", "tmpfs", disk];
  if (spawnSync("mount", words).status !== 0) return undefined;
  context.after(() => spawnSync("umount", ["-l", disk]));
  spawnSync("dd", ["if=/dev/zero", `of=${join(disk, "filler")}`, "bs=4k"]);
  return disk;
}

/** False before the process has executed the program: until then its parent waits for it. */
export function isSuccessor(pid: number): boolean {
  return readFileSync(`/proc/${pid}/environ`, "latin1").includes("STUD_UPGRADE=");
}

/** Lets a process open so many more descriptors until the returned function is called. */
function limitDescriptors(pid: number, free: number): () => void {
  const taken = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  let files = 0;
  for (let left = free; left > 0; files++) if (!taken.has(files)) left--;
  const limit = (to: number) => spawnSync("prlimit", [`--pid=${pid}`, `--nofile=${to}:`]);
  limit(files);
  return () => limit(1024);
}
