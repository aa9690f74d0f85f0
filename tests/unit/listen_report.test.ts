import { test } from "node:test";
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { writeListenReport } from "../../src/service/listen_report.ts";
import { temporaryDirectory } from "../support/system.ts";

test("tells IPv4 addresses in order, and nothing else", () => {
  const directory = temporaryDirectory();
  const path = join(directory, "report");
  writeListenReport(path, [
    { family: 4, address: "127.0.0.1", port: 8443 },
    { family: 6, address: "::1", port: 8443 },
    { family: "unix", path: "/run/x.sock" },
    { family: 4, address: "0.0.0.0", port: 1 },
  ]);
  assert.equal(readFileSync(path, "utf8"), "127.0.0.1:8443\n0.0.0.0:1\n");
  assert.deepEqual(readdirSync(directory), ["report"]);
});

test("replaces the file as a whole", () => {
  const path = join(temporaryDirectory(), "report");
  writeListenReport(path, [{ family: 4, address: "127.0.0.1", port: 8443 }]);
  const { ino } = statSync(path);
  writeListenReport(path, []);
  assert.equal(readFileSync(path, "utf8"), "");
  assert.notEqual(statSync(path).ino, ino);
});

test("a path that cannot be written is refused by one line", () => {
  const path = join(temporaryDirectory(), "missing", "report");
  assert.throws(
    () => writeListenReport(path, []),
    (error) =>
      error instanceof UsageError &&
      /^--dbg-listen: cannot write .*: No such file or directory; /.test(error.message),
  );
});
