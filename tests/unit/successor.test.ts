import { after, test } from "node:test";
import assert from "node:assert/strict";
import { mkdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import * as runtime from "#runtime";
import { SOCK_CLOEXEC } from "../../src/os/constants.ts";
import { SOCK_STREAM } from "../../src/os/constants.ts";
import type { Libc } from "../../src/os/libc.ts";
import type { Handover } from "../../src/upgrade/handover.ts";
import type { Program } from "../../src/upgrade/program.ts";
import { isSuccessor, spawnSuccessor, type Successor } from "../../src/upgrade/successor.ts";
import { bareSocket, loopback } from "../support/adapter.ts";
import { isAlive } from "../support/processes.ts";
import { temporaryDirectory } from "../support/system.ts";
import { until, within } from "../support/until.ts";

const libc: Libc = runtime.libc;
const limit = { timeout: 60_000 };
const successors: Successor[] = [];
const opened: number[] = [];
after(() => {
  for (const { pid } of successors) if (pid > 0 && isAlive(pid)) process.kill(pid, "SIGKILL");
  for (const fd of opened) libc.close(fd);
});

const nothing: Handover = { isDaemon: false, addresses: [], activated: [] };
const READY = `echo '{"code":0,"output":[],"problems":[]}' >&3`;

interface Trial {
  readonly handover?: Handover;
  readonly input?: string;
  readonly limitMs?: number;
  readonly program?: Partial<Program>;
  onStop?(): void;
}

/** A shell instead of the new program: it writes its startup result to descriptor 3. */
function shell(commands: string, trial: Trial = {}): Successor {
  const { program = {}, handover = nothing, onStop = () => {}, ...options } = trial;
  const successor = spawnSuccessor(libc, {
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

function problems(successor: Successor): Promise<readonly string[]> {
  return within(successor.problems, "the startup result");
}

/** A problem that holds what the shell command prints. */
function telling(command: string): string {
  return `printf '{"code":1,"output":[],"problems":["%s"]}\\n' "$(${command})" >&3`;
}

test("a new program that is ready has no errors, and keeps running", limit, async () => {
  const successor = shell(`${READY}; exec sleep 60`);
  assert.deepEqual(await problems(successor), []);
  assert.ok(isAlive(successor.pid));
  successor.stop();
  await until(() => !isAlive(successor.pid), "its exit");
});

test("its errors are those of its startup result, or else how it exited", limit, async () => {
  const result = JSON.stringify({ code: 1, output: [], problems: ["one", "two"] });
  assert.deepEqual(await problems(shell(`echo '${result}' >&3`)), ["one", "two"]);
  const ended = (status: string) => [`the new program ended (${status}) before it was ready`];
  assert.deepEqual(await problems(shell("exit 3")), ended("status 3"));
  assert.deepEqual(await problems(shell("exit 0")), ended("status 0"));
  assert.deepEqual(await problems(shell("kill -KILL $$")), ended("signal SIGKILL"));
});

test("a program that answers something else is no successor", limit, async () => {
  for (const answer of ["hello", "{}", '{"code":0}', '{"code":"0","output":[],"problems":[]}']) {
    const successor = shell(`echo '${answer}' >&3; exec sleep 60`);
    const [problem] = await problems(successor);
    assert.match(problem!, /answered in a language of its own/, answer);
    await until(() => !isAlive(successor.pid), "its exit");
  }
});

test("one that sends no result in time is killed", limit, async () => {
  const successor = shell("exec sleep 60", { limitMs: 300 });
  assert.deepEqual(await problems(successor), [
    "the new program was not ready after 0.3 s and was ended",
  ]);
  await until(() => !isAlive(successor.pid), "its exit");
});

test("one that cannot be started is an error", limit, async () => {
  const [problem] = await problems(shell("", { program: { command: ["/nonexistent/stud"] } }));
  assert.match(problem!, /^cannot start the new program: .*ENOENT/);
});

test("nothing is started when the descriptors to pass on cannot be copied", () => {
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
      spawnSuccessor({ ...libc, dup: () => -1 }, { ...program, environment: {} }, {
        handover,
        onStop: () => {},
      }),
    /the limit of open files is reached/,
  );
});

test("it finds the descriptors from 5 on, whatever numbers they had", limit, async () => {
  const fds = Array.from({ length: 4 }, () => bareSocket(SOCK_STREAM | SOCK_CLOEXEC));
  opened.push(...fds);
  const inodes = telling("for fd in 5 6 7; do readlink /proc/self/fd/$fd; done | tr '\\n' ' '");
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

test("it gets the right directory, environment, input and mark", limit, async () => {
  const directory = join(temporaryDirectory(), "here");
  mkdirSync(directory);
  const program = {
    workingDirectory: directory,
    environment: { PATH: process.env.PATH, ANSWER: "42" },
  };
  const facts = telling("echo $(pwd) $ANSWER $STUD_UPGRADE $(wc -c)");
  const result = await problems(shell(facts, { program, input: "x".repeat(100_000) }));
  assert.deepEqual(result, [`${realpathSync(directory)} 42 ${process.pid} 100000`]);
});

test(
  "its later message stops the old program, but only if it is the right one",
  limit,
  async () => {
    let stops = 0;
    const successor = shell(`${READY}; echo nonsense >&3; echo stop >&3; exec sleep 60`, {
      onStop: () => stops++,
    });
    assert.deepEqual(await problems(successor), []);
    await until(() => stops > 0, "the message");
    assert.equal(stops, 1);
  },
);

test("only the mark of our own parent counts, and it is removed", () => {
  for (const [mark, expected] of [["7", true], ["8", false], ["", false]] as const) {
    const environment: Record<string, string> = { STUD_UPGRADE: mark };
    assert.equal(isSuccessor(environment, 7), expected);
    assert.deepEqual(environment, {});
  }
  assert.equal(isSuccessor({}, 7), false);
});
