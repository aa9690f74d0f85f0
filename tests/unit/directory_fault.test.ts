import assert from "node:assert/strict";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { directoryFault } from "../../src/base/directory_fault.ts";

test("whatever a path leads to, the reason why it is no directory is returned", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "directory-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const [file, loop] = ["file", "loop"].map((name) => join(directory, name)) as [string, string];
  writeFileSync(file, "");
  symlinkSync(loop, loop);
  assert.equal(directoryFault(directory), undefined);
  assert.equal(directoryFault(file), "is not a directory");
  assert.equal(directoryFault(join(directory, "none")), "is not a directory");
  assert.match(directoryFault(loop)!, /^cannot be used as a directory \(Too many /);
  assert.match(directoryFault(join(file, "x"))!, /^cannot be used as a directory \(Not a /);
  assert.match(directoryFault(`/${"x".repeat(300)}`)!, /^cannot .* \((File )?name too long\)$/i);
});
