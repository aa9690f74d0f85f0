import { after, test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import * as runtime from "#runtime";
import { SOCK_CLOEXEC } from "../../src/os/constants.ts";
import { SOCK_STREAM } from "../../src/os/constants.ts";
import type { Libc } from "../../src/os/libc.ts";
import type { Handover } from "../../src/upgrade/handover.ts";
import { childrenOf } from "../../src/system/children.ts";
import type { Program } from "../../src/upgrade/program.ts";
import { isSuccessor, spawnSuccessor, type Successor } from "../../src/upgrade/successor.ts";
import { bareSocket, loopback } from "../support/adapter.ts";
import { isAlive, parentOf } from "../support/processes.ts";
import { program as self, temporaryDirectory } from "../support/system.ts";
import { until, within } from "../support/until.ts";

const libc: Libc = runtime.libc;
const limit = { timeout: 60_000 };
const successors: Successor[] = [];
const opened: number[] = [];
after(() => {
  for (const { pid } of successors) if (pid > 0 && isAlive(pid)) process.kill(pid, "SIGKILL");
  for (const fd of opened) libc.close(fd);
});

const nothing: Handover = { pid: process.pid, isDaemon: false, addresses: [], activated: [] };
const READY = `echo '{"code":0,"output":[],"problems":[]}' >&3`;

interface Trial {
  readonly handover?: Handover;
  readonly input?: string;
  readonly limitMs?: number;
  readonly program?: Partial<Program>;
  onStop?(): void;
}

/** A shell instead of the new process; what it writes to descriptor 3 is its startup result. */
function shell(commands: string, trial: Trial = {}): Successor {
  const { program = {}, handover = nothing, onStop = () => {}, ...options } = trial;
  const successor = spawnSuccessor({ libc, self }, {
    command: ["/bin/sh", "-c"],
    argv: [commands],
    dialect: "stud",
    workingDirectory: "/",
    environment: { PATH: process.env.PATH },
    ...program,
  }, { handover, onStop, ...options });
  successors.push(successor);
  return successor;
}

function read(path: string): string {
  return existsSync(path) ? readFileSync(path, "latin1") : "";
}

function problems(successor: Successor): Promise<readonly string[]> {
  return within(successor.problems, "the startup result");
}

/** A shell command that reports the output of another one as a problem. */
function reporting(command: string): string {
  return `printf '{"code":1,"output":[],"problems":["%s"]}\\n' "$(${command})" >&3`;
}

test("a successor that serves has no problems and keeps running", limit, async () => {
  const successor = shell(`${READY}; exec sleep 60`);
  assert.deepEqual(await problems(successor), []);
  assert.ok(isAlive(successor.pid));
  // A service manager adopts it.
  assert.notEqual(parentOf(successor.pid), process.pid);
  assert.equal(isAlive(parentOf(successor.pid)), true);
  successor.stop();
  await until(() => !isAlive(successor.pid), "its end");
});

test("its problems are what it reports, or its exit without a result", limit, async () => {
  const result = JSON.stringify({ code: 1, output: [], problems: ["one", "two"] });
  assert.deepEqual(await problems(shell(`echo '${result}' >&3`)), ["one", "two"]);
  const exited = (status: string) => [`the new process exited (${status}) before it was ready`];
  assert.deepEqual(await problems(shell("exit 3")), exited("status 3"));
  assert.deepEqual(await problems(shell("exit 0")), exited("status 0"));
  assert.deepEqual(await problems(shell("kill -KILL $$")), exited("signal SIGKILL"));
});

test("a process that sends an invalid startup result is killed", limit, async () => {
  for (const answer of ["hello", "{}", '{"code":0}', '{"code":"0","output":[],"problems":[]}']) {
    const successor = shell(`echo '${answer}' >&3; exec sleep 60`);
    const [problem] = await problems(successor);
    assert.match(problem!, /sent an invalid startup result/, answer);
    await until(() => !isAlive(successor.pid), "its end");
  }
});

test("a process that reports no result in time is killed", limit, async () => {
  const successor = shell("exec sleep 60", { limitMs: 300 });
  assert.deepEqual(await problems(successor), [
    "the new process was not ready after 0.3 s and was killed",
  ]);
  await until(() => !isAlive(successor.pid), "its end");
});

test("a program that cannot be started is reported", limit, async () => {
  const [problem] = await problems(shell("", { program: { command: ["/nonexistent/stud"] } }));
  assert.match(problem!, /^cannot start the new process: .*ENOENT/);
});

test("no process is started if the descriptors to pass cannot be copied", () => {
  const fd = bareSocket(SOCK_STREAM | SOCK_CLOEXEC);
  opened.push(fd);
  const handover = {
    ...nothing,
    addresses: [{ endpoint: loopback(443), fds: [fd], isActivated: false }],
  };
  const program = {
    command: ["/bin/sh"],
    argv: [],
    dialect: "stud",
    workingDirectory: "/",
  } as const;
  assert.throws(
    () =>
      spawnSuccessor(
        { libc: { ...libc, dup: () => -1 }, self },
        { ...program, environment: {} },
        { handover, onStop: () => {} },
      ),
    /the limit of open files is reached/,
  );
});

test("the successor's descriptors are numbered from 5", limit, async () => {
  const fds = Array.from({ length: 4 }, () => bareSocket(SOCK_STREAM | SOCK_CLOEXEC));
  opened.push(...fds);
  const inodes = reporting("for fd in 5 6 7; do readlink /proc/self/fd/$fd; done | tr '\\n' ' '");
  const held = (numbers: readonly number[]): Handover => ({
    ...nothing,
    addresses: [{ endpoint: loopback(443), fds: numbers, isActivated: false }],
  });
  const forward = await problems(shell(inodes, { handover: held(fds.slice(0, 3)) }));
  const backward = await problems(shell(inodes, { handover: held(fds.slice(0, 3).reverse()) }));
  const words = forward[0]!.trim().split(" ");
  assert.equal(new Set(words).size, 3);
  assert.ok(words.every((word) => /^socket:\[\d+\]$/.test(word)), String(words));
  assert.deepEqual(backward[0]!.trim().split(" "), words.toReversed());
});

test("directory, environment, input and marker are passed", limit, async () => {
  const directory = join(temporaryDirectory(), "here");
  mkdirSync(directory);
  const program = {
    workingDirectory: directory,
    environment: { PATH: process.env.PATH, ANSWER: "42", NODE_EXTRA_CA_CERTS: "/dev/null" },
  };
  const facts = reporting(
    "echo $(pwd) $ANSWER $NODE_EXTRA_CA_CERTS $((STUD_UPGRADE - PPID)) $(wc -c)",
  );
  const reported = await problems(shell(facts, { program, input: "x".repeat(100_000) }));
  assert.deepEqual(reported, [`${realpathSync(directory)} 42 /dev/null 0 100000`]);
});

test(
  "one that does not stop is killed with its children, which may hang as well",
  limit,
  async () => {
    const file = join(temporaryDirectory(), "child");
    const successor = shell(`trap "" TERM; sleep 60 & echo $! > ${file}; while :; do wait; done`);
    const child = await until(
      () => existsSync(file) && Number(readFileSync(file, "utf8")),
      "a child",
    );
    // The launcher reports the pid a moment after the process has started.
    await until(() => successor.pid > 0, "its pid");
    process.kill(child as number, "SIGSTOP");
    await within(successor.stop(), "the end");
    await until(() => !isAlive(successor.pid) && !isAlive(child as number), "the end of both");
  },
);

test("one that is stopped before its launcher has reported it ends too", limit, async () => {
  const successor = shell("exec sleep 1000.25");
  const isIt = (pid: number) => read(`/proc/${pid}/cmdline`).split("\0")[1] === "1000.25";
  // Without a turn of the event loop, in which the report would be read.
  let pid: number | undefined;
  while (pid === undefined) {
    const launchers = childrenOf(process.pid);
    pid = launchers.flatMap((launcher) => childrenOf(launcher.pid)).map((child) => child.pid)
      .find(isIt);
  }
  assert.equal(successor.pid, 0);
  await within(successor.stop(), "the end");
  await until(() => !isAlive(pid), "its exit");
});

test("a later stop line stops its predecessor, other lines do not", limit, async () => {
  let stops = 0;
  const successor = shell(`${READY}; echo nonsense >&3; echo stop >&3; exec sleep 60`, {
    onStop: () => stops++,
  });
  assert.deepEqual(await problems(successor), []);
  await until(() => stops > 0, "the stop");
  assert.equal(stops, 1);
});

test("only a marker with the parent's pid counts, and it is removed", () => {
  for (const [marker, expected] of [["7", true], ["8", false], ["", false]] as const) {
    const environment: Record<string, string> = { STUD_UPGRADE: marker };
    assert.equal(isSuccessor(environment, 7), expected);
    assert.deepEqual(environment, {});
  }
  assert.equal(isSuccessor({}, 7), false);
});
