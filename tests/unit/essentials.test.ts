import assert from "node:assert/strict";
import { test } from "node:test";
import { type Essentials, essentialsOf, lossOf } from "../../src/system/essentials.ts";

const given = ["frontend", "backend", "user", "client-verify"];
const before: Essentials = { uid: 65534, gid: 65534, chroot: "/srv", verifiesClients: true, given };

test("a configuration that lacks something that protects or is needed is a loss", () => {
  const cases: readonly [Partial<Essentials>, RegExp][] = [
    [{ uid: 0 }, /^the workers would run as root; /],
    [{ uid: 0, gid: 0 }, /^the workers would run as root; /],
    [{ gid: 0 }, /^the workers would have root's group; /],
    [{ chroot: "" }, /^the workers would leave their chroot; /],
    [{ given: ["backend", "client-verify"] }, /^no frontend is configured any more; /],
    [{ given: ["frontend", "client-verify"] }, /^no backend is configured any more; /],
    [{ given: ["frontend", "backend"], verifiesClients: false }, /^clients would no longer be ver/],
    [
      { uid: 0, given: [] },
      /^the workers would run as root, clients would .+, no frontend .+ no b/,
    ],
  ];
  for (const [part, message] of cases) {
    assert.match(lossOf(before, { ...before, ...part })!, message);
  }
});

test("other changes are not", () => {
  const cases: readonly Partial<Essentials>[] = [
    {},
    { uid: 1, gid: 1 },
    { chroot: "/other" },
    { verifiesClients: false },
    { given: [...given, "workers"] },
  ];
  for (const part of cases) assert.equal(lossOf(before, { ...before, ...part }), undefined);
  // What was not there cannot be lost.
  const root = { ...before, uid: 0, gid: 0, chroot: "", verifiesClients: false, given: [] };
  assert.equal(lossOf(root, root), undefined);
  assert.equal(lossOf(root, before), undefined);
});

test("workers without a user have this process's ids", () => {
  const { uid, gid, chroot } = essentialsOf(undefined, false, []);
  assert.deepEqual([uid, gid, chroot], [process.geteuid!(), process.getegid!(), ""]);
  assert.equal(essentialsOf({ uid: 7, gid: 8, chroot: "/x" }, false, []).uid, 7);
});
