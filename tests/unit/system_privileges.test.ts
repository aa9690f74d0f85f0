import { test } from "node:test";
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PrivilegeConfig } from "../../src/system/privileges.ts";
import { privilegesOf } from "../../src/system/privileges.ts";
import { lookUpGroup, lookUpUser } from "../../src/system/users.ts";
import { temporaryDirectory } from "../support/system.ts";

const root = { uid: 0, gid: 0 };
const ordinary = { uid: 70001, gid: 70002 };
const nobody = lookUpUser("nobody")!;

function asked(part: Partial<PrivilegeConfig>): PrivilegeConfig {
  return { user: "", group: "", chroot: "", ...part };
}

test("--user sets its primary group, which --group overrides", () => {
  for (const dialect of ["stud", "hitch"] as const) {
    assert.deepEqual(privilegesOf(asked({ user: "nobody" }), dialect, root), {
      privileges: { ...nobody, chroot: "" },
      refusals: [],
      problems: [],
      warnings: [],
    });
    assert.deepEqual(
      privilegesOf(asked({ user: "nobody", group: "tty" }), dialect, root).privileges,
      { uid: nobody.uid, gid: lookUpGroup("tty"), chroot: "" },
    );
  }
});

test("as root without --user, stud warns and hitch refuses", () => {
  const stud = privilegesOf(asked({}), "stud", root);
  assert.equal(stud.privileges, undefined);
  assert.deepEqual(stud.problems, []);
  assert.equal(stud.warnings.length, 1);
  assert.match(stud.warnings[0]!, /--user/);
  assert.deepEqual(privilegesOf(asked({}), "hitch", root), {
    problems: [],
    refusals: ["{core} ERROR: Refusing to run workers as root."],
    warnings: [],
  });
});

test("--user=root stays root, in hitch's dialect only with root's group", () => {
  for (const dialect of ["stud", "hitch"] as const) {
    const plan = privilegesOf(asked({ user: "root" }), dialect, root);
    const nothing = { problems: [], refusals: [], warnings: [] };
    assert.deepEqual(plan, { privileges: { ...root, chroot: "" }, ...nothing });
  }
  const other = asked({ user: "root", group: "tty" });
  const { refusals } = privilegesOf(other, "hitch", root);
  assert.deepEqual(refusals, ["{core} ERROR: Refusing to run workers as root."]);
  assert.deepEqual(privilegesOf(other, "stud", root).refusals, []);
});

test("--group alone keeps root's uid, with the warning", () => {
  const { privileges, warnings } = privilegesOf(asked({ group: "tty" }), "stud", root);
  assert.deepEqual(privileges, { uid: 0, gid: lookUpGroup("tty"), chroot: "" });
  assert.equal(warnings.length, 1);
});

test("without root, only the current user and group are allowed", () => {
  const { uid, gid } = ordinary;
  const same = privilegesOf(asked({ user: "70001", group: "70002" }), "stud", ordinary);
  const nothing = { problems: [], refusals: [], warnings: [] };
  assert.deepEqual(same, nothing);
  assert.deepEqual(privilegesOf(asked({}), "hitch", { uid, gid }), nothing);
  const cases: [Partial<PrivilegeConfig>, RegExp][] = [
    [{ user: "root" }, /^--user: only root can become 'root'; start as root or remove it$/],
    [{ user: "70001" }, /^--user: only root can become '70001'/],
    [{ group: "tty" }, /^--group: only root can become 'tty'/],
    [{ user: "70001", group: "tty" }, /^--group: only root can become 'tty'/],
    [{ chroot: "/" }, /^--chroot: only root may use it/],
  ];
  for (const [config, line] of cases) {
    const { problems, refusals, privileges } = privilegesOf(asked(config), "stud", ordinary);
    assert.deepEqual(problems, []);
    assert.equal(refusals.length, 1, JSON.stringify(config));
    assert.match(refusals[0]!, line);
    assert.equal(privileges, undefined);
  }
});

test("a chroot must be a directory", () => {
  const directory = temporaryDirectory();
  const file = join(directory, "file");
  writeFileSync(file, "");
  const plan = privilegesOf(asked({ user: "nobody", chroot: directory }), "hitch", root);
  assert.equal(plan.privileges?.chroot, directory);
  const missing = join(directory, "missing");
  assert.match(
    privilegesOf(asked({ chroot: missing }), "stud", root).problems[0]!,
    /^--chroot: Unable to stat directory '.*missing': No such file or directory; create it first$/,
  );
  assert.match(
    privilegesOf(asked({ chroot: file }), "stud", root).problems[0]!,
    /^--chroot: Bad directory '.*file'/,
  );
});

test("all errors are reported at once, in the text of the dialect", () => {
  const config = asked({ user: "no-such-user", group: "no-such-group", chroot: "/nonexistent" });
  assert.equal(privilegesOf(config, "stud", root).problems.length, 3);
  assert.deepEqual(privilegesOf(config, "hitch", root).problems.slice(0, 2), [
    "Invalid parameter 'user': Invalid user 'no-such-user'.",
    "Invalid parameter 'group': Invalid group 'no-such-group'.",
  ]);
});
