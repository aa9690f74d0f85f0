/** Users, groups and capabilities of the processes as the kernel reports them; all need root. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { exchange } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { ofThreads } from "../support/processes.ts";
import { runStud, type Stud } from "../support/stud.ts";

const isRoot = process.getuid!() === 0;
/** The uid of `nobody`, which every system has. */
const NOBODY = 65534;

export const privileges: readonly Behaviour[] = [
  {
    name: "--user: no thread of a worker keeps a capability, a group or a way back",
    appliesTo: () => isRoot,
    fromSource: true,
    async run(context) {
      const stud = await echoing(context, ["--user=nobody", "-n", "2"]);
      for (const worker of stud.workers()) {
        const threads = ofThreads(worker, statusOf);
        assert.ok(threads.length > 1, "the runtime has several threads");
        for (const status of threads) {
          assert.deepEqual(status("Uid"), new Array(4).fill(String(NOBODY)));
          assert.deepEqual(status("Gid"), new Array(4).fill(String(NOBODY)));
          assert.deepEqual(status("Groups"), []);
          assert.deepEqual(status("NoNewPrivs"), ["1"]);
          assert.deepEqual(status("CapEff"), ["0000000000000000"]);
          assert.deepEqual(status("CapPrm"), ["0000000000000000"]);
        }
        // The /proc files of a process that cannot be dumped belong to root.
        assert.equal(statSync(`/proc/${worker}/environ`).uid, 0);
      }
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
    },
  },
  {
    name: "--group alone changes the group of every thread",
    appliesTo: () => isRoot,
    async run(context) {
      const stud = await echoing(context, ["--user=nobody", "--group=daemon"]);
      const gid = /^daemon:[^:]*:(\d+)/m.exec(readFileSync("/etc/group", "utf8"))![1]!;
      for (const status of ofThreads(stud.worker(), statusOf)) {
        assert.deepEqual(status("Gid"), new Array(4).fill(gid));
        assert.deepEqual(status("Uid"), new Array(4).fill(String(NOBODY)));
      }
    },
  },
  {
    name: "--chroot: workers see only an empty directory, and still serve many names",
    appliesTo: () => isRoot,
    fromSource: true,
    async run(context) {
      const jail = mkdtempSync(join(context.certificates.directory, "jail-"));
      const { a, b, localhost } = context.certificates;
      const words = [`--chroot=${jail}`, "--user=nobody", a, b, localhost];
      const stud = await echoing(context, words);
      assert.equal(readlinkSync(`/proc/${stud.worker()}/root`), jail);
      assert.equal(readlinkSync(`/proc/${stud.worker()}/cwd`), jail);
      for (const servername of ["a.example", "b.example", "localhost"]) {
        assert.equal(String(await exchange(stud.frontend, "hello", { servername })), "hello");
      }
      assert.deepEqual(readdirSync(jail), []);
    },
  },
  {
    name: "the successor of a worker with --user has the same privileges",
    appliesTo: () => isRoot,
    fromSource: true,
    async run(context) {
      const stud = await echoing(context, ["--user=nobody"]);
      process.kill(stud.worker(), "SIGKILL");
      await stud.waitForLog(
        (line) =>
          line.event === "worker-started" && line !== stud.logs[0] &&
          stud.logs.filter((each) => each.event === "worker-started").indexOf(line) === 1,
        "the successor",
      );
      assert.deepEqual(
        statusOf(`/proc/${stud.worker()}`)("Uid"),
        new Array(4).fill(String(NOBODY)),
      );
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
    },
  },
  {
    name: "root without --user is one warning",
    appliesTo: () => isRoot,
    async run(context) {
      const stud = await echoing(context, ["-n", "2"]);
      await stud.waitForLog((line) => line.event === "warning", "the warning");
      const warnings = stud.logs.filter((line) => line.event === "warning");
      assert.equal(warnings.length, 1);
      assert.match(warnings[0]!.message, /--user/);
    },
  },
  {
    name: "in hitch's dialect root without --user is refused",
    appliesTo: () => isRoot,
    async run(context) {
      const words = ["--compat=hitch", context.certificates.localhost];
      const { code, stderr } = await runStud(context.target, words);
      assert.equal(code, 1);
      assert.match(stderr, /Refusing to run workers as root\./);
    },
  },
  ...[
    { option: "--user=no-such-user", says: /no-such-user/ },
    { option: "--group=no-such-group", says: /no-such-group/ },
    { option: "--chroot=/nonexistent", says: /\/nonexistent/ },
  ].map(({ option, says }): Behaviour => ({
    name: `${option} is refused`,
    async run(context) {
      const words = [option, context.certificates.localhost];
      const { code, stderr } = await runStud(context.target, words);
      assert.equal(code, 1);
      assert.match(stderr, says);
    },
  })),
];

async function echoing(context: Context, words: readonly string[]): Promise<Stud> {
  return await context.stud(words, { backend: (await context.echo()).port });
}

/** The values of one line of the status of a process or a thread. */
function statusOf(directory: string): (name: string) => string[] {
  const text = readFileSync(`${directory}/status`, "utf8");
  return (name) => {
    const line = new RegExp(`^${name}:(.*)$`, "m").exec(text)?.[1];
    assert.notEqual(line, undefined, name);
    return line!.split(/\s+/).filter((word) => word !== "");
  };
}
