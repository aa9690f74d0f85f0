import { test } from "node:test";
import assert from "node:assert/strict";
import { allowedCores, usableCores } from "../../src/os/processors.ts";
import { freeTasks, ownTasks } from "../../src/os/task_limit.ts";

/** A system whose files have these texts; all others are missing. */
function system(files: Readonly<Record<string, string>>): (path: string) => string {
  return (path) => {
    const text = files[path];
    if (text === undefined) throw new Error(`ENOENT: ${path}`);
    return text;
  };
}

function allowing(list: string): Readonly<Record<string, string>> {
  return { "/proc/self/status": `Name:\tstud\nCpus_allowed_list:\t${list}\nMems_allowed:\t1\n` };
}

test("the allowed cores are those of the list", () => {
  for (
    const [list, cores] of [
      ["0", [0]],
      ["0-3", [0, 1, 2, 3]],
      ["1,3-4,10", [1, 3, 4, 10]],
    ] as const
  ) {
    assert.deepEqual(allowedCores(system(allowing(list))), cores, list);
  }
  assert.ok(allowedCores(system({})).length > 0, "without /proc");
});

test("a quota limits the usable cores, in both versions of control groups", () => {
  const unified = { ...allowing("0-7"), "/proc/self/cgroup": "0::/a/b\n" };
  const legacy = {
    ...allowing("0-7"),
    "/proc/self/cgroup": "4:cpu,cpuacct:/docker/x\n0::/\n",
  };
  const at = "/sys/fs/cgroup";
  const cases: readonly [what: string, files: Readonly<Record<string, string>>, cores: number][] = [
    ["no groups", allowing("0-7"), 8],
    ["no quota", { ...unified, [`${at}/a/b/cpu.max`]: "max 100000\n" }, 8],
    ["its own", { ...unified, [`${at}/a/b/cpu.max`]: "200000 100000\n" }, 2],
    ["one above it", { ...unified, [`${at}/a/cpu.max`]: "300000 100000\n" }, 3],
    ["less than a core", { ...unified, [`${at}/a/b/cpu.max`]: "50000 100000\n" }, 1],
    ["rounded down", { ...unified, [`${at}/a/b/cpu.max`]: "390000 100000\n" }, 3],
    ["more than there are", { ...unified, [`${at}/a/b/cpu.max`]: "9900000 100000\n" }, 8],
    ["another container's path", { ...unified, [`${at}/cpu.max`]: "400000 100000\n" }, 4],
    ["version 2 beside 1", { ...unified, [`${at}/unified/a/b/cpu.max`]: "400000 100000\n" }, 4],
    ["version 1", {
      ...legacy,
      [`${at}/cpu/cpu.cfs_quota_us`]: "500000\n",
      [`${at}/cpu/cpu.cfs_period_us`]: "100000\n",
    }, 5],
    ["version 1, no quota", {
      ...legacy,
      [`${at}/cpu,cpuacct/docker/x/cpu.cfs_quota_us`]: "-1\n",
      [`${at}/cpu,cpuacct/docker/x/cpu.cfs_period_us`]: "100000\n",
    }, 8],
  ];
  for (const [what, files, cores] of cases) assert.equal(usableCores(system(files)), cores, what);
});

/** The same, with these processes. */
function tasksIn(files: Readonly<Record<string, string>>, processes: readonly string[] = []) {
  return freeTasks({ read: system(files), processes: () => processes });
}

test("the free tasks are those of the fullest group", () => {
  const groups = { "/proc/self/cgroup": "8:pids:/a\n0::/\n" };
  const at = "/sys/fs/cgroup/pids";
  assert.equal(tasksIn({}), Infinity);
  const full = { ...groups, [`${at}/a/pids.max`]: "max\n", [`${at}/a/pids.current`]: "7\n" };
  assert.equal(tasksIn(full), Infinity);
  const nested = {
    ...groups,
    ...{ [`${at}/a/pids.max`]: "100\n", [`${at}/a/pids.current`]: "7\n" },
    ...{ [`${at}/pids.max`]: "50\n", [`${at}/pids.current`]: "48\n" },
  };
  assert.equal(tasksIn(nested), 2);
  assert.equal(tasksIn({ ...nested, [`${at}/pids.current`]: "60\n" }), 0);
  assert.ok(ownTasks() > 0);
});

test("the limit of a user counts all threads of that user, and does not apply to root", () => {
  const status = (uid: number, threads: number) => `Uid:\t${uid}\t0\t0\t0\nThreads:\t${threads}\n`;
  const limited = (uid: number, limit: string) => ({
    "/proc/self/limits":
      `Max cpu time  unlimited\nMax processes             ${limit}  9 processes\n`,
    "/proc/self/status": status(uid, 5),
    "/proc/7/status": status(uid, 5),
    "/proc/8/status": status(uid + 1, 100),
    "/proc/9/status": status(uid, 6),
  });
  const processes = ["self", "7", "8", "9", "10"];
  assert.equal(tasksIn(limited(1000, "40"), processes), 29);
  assert.equal(tasksIn(limited(1000, "4"), processes), 0);
  assert.equal(tasksIn(limited(1000, "unlimited"), processes), Infinity);
  assert.equal(tasksIn(limited(0, "40"), processes), Infinity);
});
