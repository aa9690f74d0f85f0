import { test } from "node:test";
import assert from "node:assert/strict";
import { chmodSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { lookUpGroup, lookUpUser } from "../../src/system/users.ts";
import { temporaryDirectory } from "../support/system.ts";

/** A program that replaces getent. */
function getent(script: string): string {
  const path = join(temporaryDirectory(), "getent");
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

test("finds users and groups that every system has", () => {
  assert.deepEqual(lookUpUser("root"), { uid: 0, gid: 0 });
  assert.equal(lookUpGroup("root"), 0);
  assert.equal(lookUpUser("nobody")?.uid, 65534);
});

test("finds those that only a directory service has", () => {
  const service = getent('[ "$*" = "passwd ada@example" ] && echo "$2:*:70001:70002::/:/bin/sh"');
  assert.deepEqual(lookUpUser("ada@example", service), { uid: 70001, gid: 70002 });
  const groups = getent('[ "$*" = "group staff@example" ] && echo "$2:*:70003:ada@example"');
  assert.equal(lookUpGroup("staff@example", groups), 70003);
});

test("a number without an account is used as the id, one with an account means that account", () => {
  assert.deepEqual(lookUpUser("70004"), { uid: 70004, gid: 70004 });
  assert.deepEqual(lookUpUser("0"), { uid: 0, gid: 0 });
  const service = getent('echo "ada:*:70001:70002::/:/bin/sh"');
  assert.deepEqual(lookUpUser("70001", service), { uid: 70001, gid: 70002 });
  assert.equal(lookUpGroup("70005"), 70005);
});

test("finds nothing for unknown and invalid names", () => {
  for (
    const name of ["no-such-user-here", "", "a b", "a:b", "a\nb", "x".repeat(300), "-1", "1.5"]
  ) {
    assert.equal(lookUpUser(name), undefined, name);
    assert.equal(lookUpGroup(name), undefined, name);
  }
});

test("refuses numbers that the kernel reads as unchanged or as another id", () => {
  assert.deepEqual(lookUpUser("4294967294"), { uid: 4294967294, gid: 4294967294 });
  for (const name of ["4294967295", "4294967296", "99999999999"]) {
    assert.equal(lookUpUser(name), undefined, name);
    assert.equal(lookUpGroup(name), undefined, name);
  }
});

test("never passes a name to getent as an option or a command", () => {
  const witness = join(temporaryDirectory(), "asked");
  const service = getent(`touch ${witness}; exit 2`);
  for (const name of ["--service=x", "-i", "$(reboot)", "`reboot`", "a;b"]) {
    assert.equal(lookUpUser(name, service), undefined);
    assert.equal(lookUpGroup(name, service), undefined);
  }
  assert.ok(!existsSync(witness));
});

test("reads the classic files if getent is missing, broken or killed", () => {
  for (const service of ["/nonexistent/getent", getent("exit 1"), getent("kill -9 $$")]) {
    assert.deepEqual(lookUpUser("root", service), { uid: 0, gid: 0 });
    assert.equal(lookUpGroup("root", service), 0);
    assert.equal(lookUpUser("no-such-user-here", service), undefined);
  }
});

test("ignores an answer about another account", () => {
  const service = getent('echo "mallory:*:0:0::/:/bin/sh"');
  assert.equal(lookUpUser("ada", service), undefined);
});
