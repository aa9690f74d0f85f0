import { test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import type { Endpoint } from "../../src/os/endpoint.ts";
import { draftListenReport } from "../../src/service/listen_report.ts";
import { temporaryDirectory } from "../support/system.ts";

const endpoint: Endpoint = { family: 4, address: "127.0.0.1", port: 8443 };

test("has only IPv4 addresses, in order", () => {
  const directory = temporaryDirectory();
  const path = join(directory, "report");
  draftListenReport(path, [
    endpoint,
    { family: 6, address: "::1", port: 8443 },
    { family: "unix", path: "/run/x.sock" },
    { family: 4, address: "0.0.0.0", port: 1 },
  ]).publish();
  assert.equal(readFileSync(path, "utf8"), "127.0.0.1:8443\n0.0.0.0:1\n");
  assert.deepEqual(readdirSync(directory), ["report"]);
});

test("replaces the file in one step when it is published", () => {
  const directory = temporaryDirectory();
  const path = join(directory, "report");
  draftListenReport(path, [endpoint]).publish();
  const { ino } = statSync(path);
  const report = draftListenReport(path, []);
  assert.equal(readFileSync(path, "utf8"), "127.0.0.1:8443\n");
  report.publish();
  assert.equal(readFileSync(path, "utf8"), "");
  assert.notEqual(statSync(path).ino, ino);
  draftListenReport(path, [endpoint]).drop();
  assert.equal(readFileSync(path, "utf8"), "");
  assert.deepEqual(readdirSync(directory), ["report"]);
});

test("a symbolic link is followed: its target is replaced", () => {
  const [directory, elsewhere] = [temporaryDirectory(), temporaryDirectory()];
  const [path, target] = [join(directory, "report"), join(elsewhere, "target")];
  writeFileSync(target, "old");
  symlinkSync(target, path);
  const report = draftListenReport(path, [endpoint]);
  assert.equal(readFileSync(path, "utf8"), "old");
  report.publish();
  assert.ok(lstatSync(path).isSymbolicLink());
  assert.equal(readFileSync(target, "utf8"), "127.0.0.1:8443\n");
  draftListenReport(path, []).drop();
  assert.deepEqual(readdirSync(directory), ["report"]);
  assert.deepEqual(readdirSync(elsewhere), ["target"]);
});

test("a FIFO that replaces the file after the draft stays", () => {
  const directory = temporaryDirectory();
  const path = join(directory, "report");
  writeFileSync(path, "");
  const report = draftListenReport(path, [endpoint]);
  rmSync(path);
  execFileSync("mkfifo", [path]);
  assert.throws(() => report.publish(), /Not a regular file; specify another path$/);
  assert.ok(lstatSync(path).isFIFO());
  assert.deepEqual(readdirSync(directory), ["report"], "the draft is gone");
});

const linkTo = (target: string) => (path: string) => (symlinkSync(target, path), path);

const refused = [
  ["in a missing directory", (path: string) => join(path, "report"), /No such file or directory/],
  ["that is a directory", (path: string) => (mkdirSync(path), path), /Is a directory/],
  ["below a file", (path: string) => (writeFileSync(path, ""), join(path, "x")), /Not a directory/],
  [
    "that is a FIFO",
    (path: string) => (execFileSync("mkfifo", [path]), path),
    /Not a regular file/,
  ],
  ["of a link to a device", linkTo("/dev/null"), /Not a regular file/],
  ["of a link to itself", linkTo("target"), /Too many.* symbolic links/i],
  ["of a link to nothing", linkTo("none"), /The link's target is missing/],
] as const;

for (const [what, make, reason] of refused) {
  test(`a path ${what} is rejected with one line, and no file is left`, () => {
    const directory = temporaryDirectory();
    const path = make(join(directory, "target"));
    const before = readdirSync(directory);
    assert.throws(() => draftListenReport(path, []), (error) => {
      assert.ok(error instanceof UsageError);
      const [start, end] = ["--dbg-listen: cannot write ", "; specify another path"];
      assert.ok(error.message.startsWith(`${start}${path}: `), error.message);
      assert.match(error.message, reason);
      return error.message.endsWith(end);
    });
    assert.deepEqual(readdirSync(directory), before);
  });
}

test("later failures are UsageErrors too", () => {
  const directory = temporaryDirectory();
  const path = join(directory, "report");
  const report = draftListenReport(path, [endpoint]);
  mkdirSync(path);
  assert.throws(() => report.publish(), UsageError);
  assert.deepEqual(readdirSync(directory), ["report"], "the draft is gone");
  rmdirSync(path);
  const other = draftListenReport(path, [endpoint]);
  renameSync(directory, `${directory}.away`);
  mkdirSync(directory);
  assert.throws(() => other.publish(), UsageError);
  other.drop();
});
