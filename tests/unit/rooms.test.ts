/** The rooms of src/ have an order, and imports only go down it. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path/posix";
import { fileURLToPath } from "node:url";

/** From the top down: a file imports from its own room and from those after it. */
const ROOMS = [
  "main.ts",
  "command.ts",
  "commands",
  "demo",
  "service",
  "upgrade",
  "master",
  "worker",
  "worker_protocol",
  "admin",
  "tickets",
  "sessions",
  "ocsp",
  "certificates",
  "connection",
  "status",
  "access_log",
  "log",
  "options",
  "control",
  "system",
  "runtime",
  "base",
  "os",
];

const source = fileURLToPath(new URL("../../src", import.meta.url));

/** The imports of one file that go up, or out of src/ to another file of the project. */
function upward(file: string, text: string): string[] {
  const specifiers = [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)];
  return specifiers
    .map(([, specifier]) => join(dirname(file), specifier!))
    .filter((target) => target !== "../package.json" && level(target) < level(file));
}

/** The room's place in the list, -1 for a file that is in none of them. */
function level(file: string): number {
  return ROOMS.indexOf(file.split("/")[0]!);
}

test("every file is in a room of the list, and every room has files", () => {
  const found = readdirSync(source);
  assert.deepEqual(found.toSorted(), ROOMS.toSorted());
});

test("no file imports from a room above its own", () => {
  const files = readdirSync(source, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"));
  assert.ok(files.length > 200, "found the sources");
  for (const file of files) {
    assert.deepEqual(upward(file, readFileSync(join(source, file), "utf8")), [], file);
  }
});

test("the check finds an import that goes up, whatever its form", () => {
  const up = ["master/master.ts"];
  assert.deepEqual(upward("worker/a.ts", 'import { x } from "../master/master.ts";'), up);
  assert.deepEqual(upward("worker/a.ts", 'import type { x } from "../master/master.ts";'), up);
  assert.deepEqual(upward("worker/a.ts", 'await import("../master/master.ts")'), up);
  assert.deepEqual(upward("worker/a.ts", 'export { x } from "../master/master.ts";'), up);
  assert.deepEqual(upward("master/a.ts", 'import { x } from "../worker/a.ts";'), []);
  assert.deepEqual(upward("master/a/b.ts", 'import { x } from "../master.ts";'), []);
  assert.deepEqual(upward("os/a.ts", 'import { x } from "../new_room/a.ts";'), ["new_room/a.ts"]);
});
