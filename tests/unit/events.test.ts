/** docs/events.md has exactly the events that the code logs. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ERROR_CLASSES } from "../../src/base/error_classes.ts";
import { EVENTS } from "../../src/base/events.ts";
import { undocumented } from "../support/documented_events.ts";
import type { LogLine } from "../support/stud.ts";
import { root } from "../support/target.ts";

const LEVELS = ["error", "warn", "info", "debug"];

/** Event names and levels in the tables of the page. */
function documented(): { name: string; levels: string }[] {
  const page = readFileSync(join(root, "docs/events.md"), "utf8");
  const [, ...tables] = page.split("\n## Silencing")[0]!.split("\n## ");
  return tables.join("\n").split("\n").flatMap((line) => {
    const [, name, levels] = /^\| `([a-z-]+)` +\| (.+?) +\|/.exec(line) ?? [];
    return name === undefined ? [] : [{ name, levels: levels! }];
  });
}

/** Strings of the sources, apart from the list of events itself. */
function literals(): Set<string> {
  const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
  const texts = files.filter((file) => file.endsWith(".ts") && file !== "base/events.ts")
    .map((file) => readFileSync(join(root, "src", file), "utf8"));
  return new Set(
    texts.flatMap((text) => [...text.matchAll(/"([a-z-]+)"/g)].map(([, word]) => word!)),
  );
}

test("the page has every event of the code once, and no other", () => {
  assert.deepEqual(documented().map(({ name }) => name).sort(), [...EVENTS].sort());
});

test("the code logs every event that is declared", () => {
  const found = literals();
  assert.deepEqual(EVENTS.filter((event) => !found.has(event)), []);
});

test("the page has the levels of every event", () => {
  for (const { name, levels } of documented()) {
    if (levels === "as the event") continue;
    const unknown = levels.split(", ").filter((level) => !LEVELS.includes(level));
    assert.deepEqual(unknown, [], name);
  }
});

test("the page has every class of errors", () => {
  const classes = readFileSync(join(root, "docs/events.md"), "utf8").split("\n## Silencing")[1]!;
  const named = [...classes.matchAll(/^\| `([a-z-]+)`/gm)].map(([, name]) => name);
  assert.deepEqual(named, ERROR_CLASSES);
});

test("the declaration is sorted, so that a name is easy to find and is there once", () => {
  assert.deepEqual([...EVENTS], [...new Set(EVENTS)].sort());
});

test("the behaviours find levels and members that the page does not have", () => {
  const head = { time: "", master: 1, pid: 1, message: "" };
  const line = (event: string, level: string, facts: object) =>
    ({ ...head, event, level, ...facts }) as LogLine;
  assert.deepEqual(
    undocumented([
      line("stopped", "info", { cut: 0 }),
      line("stopped", "warn", { why: 1 }),
      line("forged", "info", {}),
      line("connection-closed", "debug", { worker: 1, connection: 1, client: "", sni: "" }),
    ]),
    ["stopped warn", "stopped.why", "stopped without cut", "forged"],
  );
});
