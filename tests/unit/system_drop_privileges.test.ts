/** What /proc reports about a process that dropped its privileges, for every thread. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync, readlinkSync, statSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { ofThreads } from "../support/processes.ts";
import { runTask, temporaryDirectory } from "../support/system.ts";

const UNPRIVILEGED = 65534;
const isRoot = process.getuid!() === 0;
const asRoot = { skip: isRoot ? false : "needs root", timeout: 60_000 };

interface Dropped {
  readonly pid: number;
  readonly cwd: string;
  readonly umask: number;
  /** prctl(PR_GET_DUMPABLE). */
  readonly dumpable: number;
}

/** The values of one line of `/proc/PID/task/TID/status`, one for each thread, without repetition. */
function ofAllThreads(pid: number, key: string): string[] {
  const values = ofThreads(pid, (directory) => {
    const status = readFileSync(`${directory}/status`, "utf8");
    return new RegExp(`^${key}:[ \\t]*(.*?)[ \\t]*$`, "m").exec(status)![1]!.replaceAll("\t", " ");
  });
  assert.ok(values.length > 1, "there are several threads");
  return [...new Set(values)];
}

function privileges(chroot = ""): string {
  return JSON.stringify({ uid: UNPRIVILEGED, gid: UNPRIVILEGED, chroot });
}

test(
  "all threads of a worker are another user, without groups or capabilities",
  asRoot,
  async () => {
    const { facts: { pid } } = await runTask<Dropped>(["parent", privileges()]);
    const four = Array(4).fill(UNPRIVILEGED).join(" ");
    assert.deepEqual(ofAllThreads(pid, "Uid"), [four]);
    assert.deepEqual(ofAllThreads(pid, "Gid"), [four]);
    assert.deepEqual(ofAllThreads(pid, "Groups"), [""]);
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) {
      assert.deepEqual(ofAllThreads(pid, set), ["0000000000000000"], set);
    }
  },
);

test("a worker that keeps its user cannot be inspected either", asRoot, async () => {
  const { facts: { pid, dumpable } } = await runTask<Dropped>(["drop", ""]);
  assert.deepEqual(ofAllThreads(pid, "Uid"), ["0 0 0 0"]);
  assert.equal(dumpable, 0);
});

test("no thread can gain privileges by exec", { timeout: 60_000 }, async () => {
  const { facts: { pid } } = await runTask<Dropped>(["parent", ""]);
  assert.deepEqual(ofAllThreads(pid, "NoNewPrivs"), ["1"]);
});

test("its root and its working directory are the chroot", asRoot, async () => {
  const directory = temporaryDirectory();
  const { facts: { pid, cwd } } = await runTask<Dropped>(["drop", privileges(directory)]);
  assert.equal(cwd, "/");
  const places = ofThreads(pid, (of) => [readlinkSync(`${of}/root`), readlinkSync(`${of}/cwd`)]);
  assert.deepEqual([...new Set(places.flat())], [directory]);
});

test("other processes of the same user cannot inspect it", asRoot, async () => {
  const { facts: { pid, umask } } = await runTask<Dropped>(["drop", privileges()]);
  assert.equal(umask, 0o077);
  const { uid, gid } = statSync(`/proc/${pid}/environ`);
  assert.deepEqual({ uid, gid }, { uid: 0, gid: 0 });
  const { status } = spawnSync("cat", [`/proc/${pid}/environ`], {
    uid: UNPRIVILEGED,
    gid: UNPRIVILEGED,
    stdio: "ignore",
  });
  assert.equal(status, 1);
});
