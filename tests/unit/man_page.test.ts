import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { isInstalled } from "../support/commands.ts";
import { root } from "../support/target.ts";

const skip = process.env.CI !== "true" && !isInstalled("man") && "not installed: man";

test("man shows the manual page without a complaint", { skip }, () => {
  const { status, stdout, stderr } = spawnSync(
    "man",
    ["--warnings", "--local-file", join(root, "stud.8")],
    { encoding: "utf8", env: { ...process.env, MANWIDTH: "80", LC_ALL: "C.UTF-8" } },
  );
  assert.equal(status, 0, stderr);
  assert.equal(stderr, "");
  for (const section of ["NAME", "SYNOPSIS", "OPTIONS", "CONFIGURATION FILE", "SIGNALS"]) {
    assert.match(stdout, new RegExp(`^${section}`, "m"));
  }
  assert.match(stdout, /^ +-f, --frontend ADDRESS$/m);
});
