import { test } from "node:test";
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { calledFile, dialectOf } from "../../src/system/program.ts";
import { temporaryDirectory } from "../support/system.ts";

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

test("a name without one is looked for as a shell does", () => {
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

test("only hitch is called hitch", () => {
  assert.deepEqual(["hitch", "/usr/sbin/hitch", "stud", "hitch-1.8", "bun", ""].map(dialectOf), [
    ...["hitch", "hitch", "stud", "stud", "stud", "stud"],
  ]);
});
