import { test } from "node:test";
import assert from "node:assert/strict";
import { once } from "node:events";
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { dialectOf, findExecutable, type Program } from "../../src/upgrade/program.ts";
import { systemChild, temporaryDirectory } from "../support/system.ts";
import { within } from "../support/until.ts";

const limit = { timeout: 60_000 };
const [program, ...script] = systemChild;

/** Returns how a process of this runtime describes itself. */
async function described({ argv0 = program! }: { argv0?: string }): Promise<Program> {
  const child = spawn(program!, [...script, "program", "--workers", ""], {
    argv0,
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, LISTEN_FDS: "1", ANSWER: "42" },
  });
  let text = "";
  child.stdout!.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
  await within(once(child, "close"), "its answer");
  return JSON.parse(text);
}

/** Makes `bin/stud`, a link to a program in `opt`, and `other/stud`, another program. */
function programs() {
  const directory = temporaryDirectory();
  for (const folder of ["bin", "opt", "other", "empty"]) mkdirSync(join(directory, folder));
  for (const file of ["opt/stud-1.0", "other/stud"]) {
    writeFileSync(join(directory, file), "#!/bin/sh\n");
    chmodSync(join(directory, file), 0o755);
  }
  writeFileSync(join(directory, "empty", "stud"), "not a program");
  mkdirSync(join(directory, "opt", "stud"));
  symlinkSync("../opt/stud-1.0", join(directory, "bin", "stud"));
  const find = (name: string, path: string, isOwn = true) =>
    findExecutable(name, { workingDirectory: directory, path, isOwn: () => isOwn });
  return { directory, find };
}

test("a name with a slash is relative to the working directory, and a link is kept", () => {
  const { directory, find } = programs();
  const link = join(directory, "bin", "stud");
  assert.equal(find("bin/stud", ""), link);
  assert.equal(find("./bin/../bin/stud", ""), link);
  assert.equal(find(link, ""), link);
});

test("a name without a slash is found as a shell does", () => {
  const { directory, find } = programs();
  const link = join(directory, "bin", "stud");
  assert.equal(find("stud", `/nonexistent:${directory}/empty:${directory}/opt:bin:other`), link);
  assert.equal(find("stud", "other:bin"), join(directory, "other", "stud"));
  assert.equal(find("stud", "/nonexistent"), undefined);
});

test("a name that leads to a program other than the running one is not used", () => {
  const { find } = programs();
  assert.equal(find("stud", "other", false), undefined);
  assert.equal(find("bin/stud", "", false), undefined);
  assert.equal(find("", "bin"), undefined);
});

test("the user's arguments are separated from the runtime's", limit, async () => {
  const own = await described({});
  assert.deepEqual(own.command.slice(1), script);
  assert.ok(isAbsolute(own.command[0]!));
  assert.equal(statSync(own.command[0]!).ino, statSync(program!).ino);
  assert.deepEqual(own.argv, ["program", "--workers", ""]);
  assert.equal(own.workingDirectory, process.cwd());
  assert.equal(own.environment.LISTEN_FDS, undefined);
  assert.equal(own.environment.ANSWER, "42");
});

test(
  "a name that leads nowhere is replaced by the running file, and its dialect is kept",
  limit,
  async () => {
    const own = await described({ argv0: "hitch" });
    assert.equal(statSync(own.command[0]!).ino, statSync(program!).ino);
    assert.deepEqual(own.argv, ["--compat=hitch", "program", "--workers", ""]);
    assert.equal(own.dialect, "hitch");
  },
);

test("only the file name hitch has hitch's dialect", () => {
  assert.deepEqual(["hitch", "/usr/sbin/hitch", "stud", "hitch-1.8", "bun", ""].map(dialectOf), [
    ...["hitch", "hitch", "stud", "stud", "stud", "stud"],
  ]);
});
