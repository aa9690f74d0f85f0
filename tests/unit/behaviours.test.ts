/** Which behaviours run on each target: none is lost by running fewer from source. */
import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { basename } from "node:path";
import { describe, it } from "node:test";
import { applicable, chosen } from "../behaviours/index.ts";
import { root, target, targetNames } from "../support/target.ts";

const targets = targetNames.map(target);
const nameOf = ({ name }: { readonly name: string }) => name;

describe("the choice of behaviours", () => {
  it("has a file of tests for each target", () => {
    const files = globSync("tests/targets/*.test.ts", { cwd: root });
    const tested = files.map((file) => basename(file, ".test.ts"));
    assert.deepEqual(tested.toSorted(), [...targetNames].toSorted());
  });

  for (const runtime of ["bun", "deno", "node"] as const) {
    const ofRuntime = targets.filter((target) => target.runtime === runtime);

    it(`omits no behaviour on ${runtime} if all are to run`, () => {
      const asked = new Set(
        ofRuntime.flatMap((each) => chosen(each, true)).map(({ name }) => name),
      );
      const all = ofRuntime.flatMap(applicable).map(({ name }) => name);
      assert.deepEqual(all.filter((name) => !asked.has(name)), []);
      assert.ok(all.length > 0);
    });

    it(`runs only marked behaviours from source on ${runtime}`, () => {
      const [source, ...others] = ofRuntime.filter(({ isBuilt }) => !isBuilt);
      assert.deepEqual(others, []);
      const marked = applicable(source!).filter(({ fromSource }) => fromSource);
      assert.deepEqual(chosen(source!, true), marked);
      for (const theme of ["demo", "processes", "reload", "service", "upgrade"]) {
        assert.ok(marked.some(({ name }) => name.startsWith(`${theme}: `)), theme);
      }
    });
  }

  it("omits no behaviour if the targets take turns, and gives each a share", () => {
    const asked = new Map(targets.map((each) => [each, chosen(each, false).map(nameOf)]));
    const ran = new Set([...asked.values()].flat());
    const all = targets.flatMap((each) => applicable(each).map(nameOf));
    assert.deepEqual(all.filter((name) => !ran.has(name)), []);
    for (const [target, names] of asked) {
      const few = target.isBuilt
        ? applicable(target).filter(({ shared }) => shared).map(nameOf)
        : chosen(target, true).map(nameOf);
      const share = names.filter((name) => few.includes(name)).length / few.length;
      assert.ok(share > 0.2 && share < 0.6, `${target.name}: ${share}`);
    }
  });

  it("gives each behaviour a unique name", () => {
    for (const target of targets) {
      const names = applicable(target).map(({ name }) => name);
      assert.deepEqual(names.filter((name, index) => names.indexOf(name) !== index), []);
    }
  });
});
