import { test } from "node:test";
import assert from "node:assert/strict";
import { once } from "node:events";
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { calledFile, dialectOf, type Program } from "../../src/upgrade/program.ts";
import { systemChild, temporaryDirectory } from "../support/system.ts";
import { within } from "../support/until.ts";

const limit = { timeout: 60_000 };
const [program, ...script] = systemChild;

/** What a process of this runtime finds out about itself. */
async function asked({ argv0 = program! }: { argv0?: string }): Promise<Program> {
  const child = spawn(program!, [...script, "program", "--workers", ""], {
    argv0,
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, LISTEN_FDS: "1", ANSWER: "42" },
  });
  let text = "";
  child.stdout!.setEncoding("utf8").on("data", (part: string) => text += part);
  await within(once(child, "close"), "its answer");
  return JSON.parse(text);
}

/** `bin/stud` is a link to a program in `opt`, and `other/stud` another program. */
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
  const find = (name: string, path: string, isIt = true) =>
    calledFile(name, { workingDirectory: directory, path, isIt: () => isIt });
  return { directory, find };
}

test("a name with a slash is meant from the working directory, and a link stays a link", () => {
  const { directory, find } = programs();
  const link = join(directory, "bin", "stud");
  assert.equal(find("bin/stud", ""), link);
  assert.equal(find("./bin/../bin/stud", ""), link);
  assert.equal(find(link, ""), link);
});

test("a name without one is searched for like in a shell", () => {
  const { directory, find } = programs();
  const link = join(directory, "bin", "stud");
  assert.equal(find("stud", `/nonexistent:${directory}/empty:${directory}/opt:bin:other`), link);
  assert.equal(find("stud", "other:bin"), join(directory, "other", "stud"));
  assert.equal(find("stud", "/nonexistent"), undefined);
});

test("a name that leads to another program than the running one does not count", () => {
  const { find } = programs();
  assert.equal(find("stud", "other", false), undefined);
  assert.equal(find("bin/stud", "", false), undefined);
  assert.equal(find("", "bin"), undefined);
});

test("the command line is distinguished from the runtime's own arguments", limit, async () => {
  const facts = await asked({});
  assert.deepEqual(facts.command.slice(1), script);
  assert.ok(isAbsolute(facts.command[0]!));
  assert.equal(statSync(facts.command[0]!).ino, statSync(program!).ino);
  assert.deepEqual(facts.argv, ["program", "--workers", ""]);
  assert.equal(facts.workingDirectory, process.cwd());
  assert.equal(facts.environment.LISTEN_FDS, undefined);
  assert.equal(facts.environment.ANSWER, "42");
});

test(
  "a name that leads nowhere gives way to the file that runs, and tells the dialect",
  limit,
  async () => {
    const facts = await asked({ argv0: "hitch" });
    assert.equal(statSync(facts.command[0]!).ino, statSync(program!).ino);
    assert.deepEqual(facts.argv, ["--compat=hitch", "program", "--workers", ""]);
    assert.equal(facts.dialect, "hitch");
  },
);

test("only hitch is called hitch", () => {
  assert.deepEqual(["hitch", "/usr/sbin/hitch", "stud", "hitch-1.8", "bun", ""].map(dialectOf), [
    ...["hitch", "hitch", "stud", "stud", "stud", "stud"],
  ]);
});
