import { after, test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { isDaemonChild, spawnDaemon } from "../../src/upgrade/daemon.ts";
import type { StartupResult } from "../../src/upgrade/startup_result.ts";
import { run } from "../support/commands.ts";
import { isAlive, parentOf } from "../support/processes.ts";
import { systemChild } from "../support/system.ts";
import { until, within } from "../support/until.ts";

const limit = { timeout: 60_000 };
const [program, ...script] = systemChild;
const daemons: number[] = [];
after(() => daemons.filter(isAlive).forEach((pid) => process.kill(pid, "SIGKILL")));

/** Returns the daemon's pid, which init scripts read as the fifth word. */
function pidIn(output: string): number {
  assert.match(output, /^\{core\} Daemonized as pid \d+\.$/);
  const pid = parseInt(output.split(" ")[4]!);
  daemons.push(pid);
  return pid;
}

/** A shell instead of the daemon; what it writes to descriptor 3 is its startup result. */
function shell(commands: string, options: { input?: string; limitMs?: number } = {}): Promise<
  StartupResult
> {
  return spawnDaemon(["sh", "-c", commands], [], options);
}

test(
  "a daemon is reported, outlives its parent and has none of its descriptors",
  limit,
  async () => {
    const { code, stdout, stderr } = await run(program!, [...script, "daemonize"]);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    assert.ok(stdout.endsWith(".\n"));
    const pid = pidIn(stdout.slice(0, -1));
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)!.split(" ");
    const [, , group, session, terminal] = stat.map(Number);
    assert.deepEqual([group, session, terminal], [pid, pid, 0]);
    await until(() => parentOf(pid) === 1 || !isAlive(parentOf(pid)), "its parent's exit");
    await until(() => readlinkSync(`/proc/${pid}/cwd`) === "/", "its change of directory");
    for (const fd of [0, 1, 2]) assert.equal(readlinkSync(`/proc/${pid}/fd/${fd}`), "/dev/null");
    assert.ok(
      !readdirSync(`/proc/${pid}/fd`).includes("3"),
      "the startup result's descriptor is closed",
    );
    assert.ok(isAlive(pid));
  },
);

test("the parent prints the daemon's problems and exits with its code", limit, async () => {
  const { code, stdout, stderr } = await run(program!, [...script, "daemonize", "fail"]);
  assert.deepEqual({ code, stdout, stderr }, {
    code: 2,
    stdout: "",
    stderr: "first problem\nsecond problem\n",
  });
});

test("a daemon that exits without a startup result is reported", limit, async () => {
  const line = (status: string) =>
    `stud: the daemon exited (${status}) before it was ready; start it without --daemon to see why`;
  assert.deepEqual(await shell("exit 3"), {
    code: 3,
    output: [],
    problems: [line("status 3")],
  });
  assert.deepEqual(await shell("exit 0"), {
    code: 1,
    output: [],
    problems: [line("status 0")],
  });
  assert.deepEqual(await shell("kill -KILL $$"), {
    code: 1,
    output: [],
    problems: [line("signal SIGKILL")],
  });
});

test("a daemon that is not ready in time is killed", limit, async () => {
  const { code, problems } = await shell("exec sleep 60", { limitMs: 300 });
  assert.equal(code, 1);
  assert.match(problems[0]!, /not ready after 0.3 s and was killed/);
});

test("a program that cannot be started is reported", limit, async () => {
  const { code, problems } = await spawnDaemon(["/nonexistent/stud"], []);
  assert.equal(code, 1);
  assert.match(problems[0]!, /^stud: cannot start the daemon: .*ENOENT/);
});

test("a result that was reported just before the exit counts", limit, async () => {
  const result = { code: 5, output: [], problems: ["a problem"] };
  assert.deepEqual(await shell(`echo '${JSON.stringify(result)}' >&3; exit 5`), result);
});

test("the daemon can read the standard input that its parent has read", limit, async () => {
  const input = "frontend = *,8443\n".repeat(10_000);
  const counted = `printf '{"code":0,"output":["%s"],"problems":[]}\\n' $(wc -c) >&3`;
  assert.deepEqual((await shell(counted, { input })).output, [String(input.length)]);
});

test("a daemon notices that its parent has gone", limit, async () => {
  const child = spawn(program!, [...script, "daemonize"], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
    env: { ...process.env, STUD_DAEMON: String(process.pid) },
  });
  daemons.push(child.pid!);
  child.stdio[3]!.destroy();
  const [code] = await within(once(child, "exit"), "its end");
  assert.equal(code, 0);
});

test("only a marker with the parent's pid counts, and it is removed", () => {
  const cases: [Record<string, string>, boolean][] = [
    [{ STUD_DAEMON: "7" }, true],
    [{ STUD_DAEMON: "8" }, false],
    [{ STUD_DAEMON: "" }, false],
    [{}, false],
  ];
  for (const [environment, expected] of cases) {
    assert.equal(isDaemonChild(environment, 7), expected);
    assert.deepEqual(environment, {});
  }
});
