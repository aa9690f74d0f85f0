import { test } from "node:test";
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const source = fileURLToPath(new URL("../../src", import.meta.url));

/** The adapters, and the demo's backend, which is a peer of the proxy and no part of it. */
const mayUseRuntime = /^(runtime\/(openssl|(bun|node|deno)(\/.*)?)\.ts|demo\/backend\.ts)$/;

/** Chosen by the build, as package.json says. */
const byBuild = /^#(ocsp|ticket_store)$/;

/** Only these built-in modules exist alike in all three runtimes and open no sockets. */
const allowed = /^node:(child_process|crypto|dns\/promises|fs|os|path|process|stream|util)$/;

/**
 * Outside the data path: the admin endpoint's helper, which has neither keys nor connections, and the
 * commands' HTTP client, in a process that serves nobody.
 */
const mayUseHttp = /^(admin\/helper\/.*|commands\/client\.ts)$/;
const forHttp = /^node:(http|net)$/;

/** What is imported or named in a core file that belongs to one runtime or to its sockets. */
function violations(text: string): string[] {
  const imports = [...text.matchAll(/(?:from|import)\s*\(?\s*"([a-z]+:[^"]+|#[^"]+)"/g)]
    .map((match) => match[1]!);
  const globals = [...text.matchAll(/\b(Bun|Deno)\.\w+/g)].map((match) => match[0]);
  return [...imports.filter((name) => !allowed.test(name) && !byBuild.test(name)), ...globals];
}

test("the core imports no runtime", () => {
  const files = readdirSync(source, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"));
  assert.ok(files.length > 20, "found the sources");
  for (const file of files) {
    const text = readFileSync(join(source, file), "utf8").replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, "");
    if (mayUseRuntime.test(relative(source, join(source, file)))) continue;
    const found = violations(text);
    const others = found.filter((name) => !(mayUseHttp.test(file) && forHttp.test(name)));
    assert.deepEqual(others, [], file);
  }
});

/** All files that are loaded with one, as paths below `source`. */
function loadedWith(file: string, all = new Set<string>()): Set<string> {
  if (all.has(file)) return all;
  all.add(file);
  const text = readFileSync(join(source, file), "utf8");
  for (const [, name] of text.matchAll(/^(?:import|export) (?!type )[^"';]*?"(\.[^"]+)"/gms)) {
    loadedWith(join(dirname(file), name!), all);
  }
  return all;
}

/** What the processes that the master starts begin with. */
const children = [
  "main.ts",
  "worker/worker.ts",
  "ocsp/ocsp_process.ts",
  "admin/helper/admin_process.ts",
  "sessions/peers_process.ts",
  "tickets/store_process.ts",
];

test("workers and helpers load no part of the master or its log, nor the table of options", () => {
  const foreign = /^(master\/|options\/rows\/|log\/log\.ts)/;
  for (const file of children) {
    assert.deepEqual([...loadedWith(file)].filter((file) => foreign.test(file)), [], file);
  }
  assert.ok([...loadedWith("command.ts")].some((file) => foreign.test(file)), "the check finds it");
});

test("only the admin endpoint's helper and the commands load HTTP, and not before they run", () => {
  const outside = /^(admin\/helper|commands)\//;
  const ofOutside = (file: string) => [...loadedWith(file)].filter((file) => outside.test(file));
  const others = children.filter((file) => !outside.test(file));
  for (const file of [...others, "command.ts"]) assert.deepEqual(ofOutside(file), [], file);
  for (const start of ["admin/helper/admin_process.ts", "commands/reload.ts"]) {
    for (const file of ofOutside(start)) {
      // A bundle loads what any of its modules imports statically.
      const text = readFileSync(join(source, file), "utf8");
      assert.doesNotMatch(text, /^import (?!type )[^;]*"node:(http|net)"/m, file);
    }
    assert.ok(ofOutside(start).length > 5, "the check finds it");
  }
});

/** Packages that are loaded with a file. */
function packagesLoadedWith(file: string): string[] {
  return [...loadedWith(file)].flatMap((file) => {
    const text = readFileSync(join(source, file), "utf8");
    return [...text.matchAll(/^import (?!type )[^"';]*?"([a-z@][^":]*)"/gms)]
      .map(([, name]) => name!);
  });
}

test("no process loads a library of a feature that it has no part in", () => {
  const ofFeatures = (file: string) =>
    packagesLoadedWith(file).filter((name) => /^(pkijs|asn1js|@redis\/client)$/.test(name));
  for (const file of ["main.ts", "command.ts", "worker/worker.ts", "demo/demo.ts"]) {
    assert.deepEqual(ofFeatures(file), [], file);
  }
  assert.deepEqual(ofFeatures("tickets/store_process.ts"), ["@redis/client"]);
  assert.ok(ofFeatures("ocsp/present.ts").includes("pkijs"));
});

test("the check finds what it looks for", () => {
  assert.deepEqual(violations('import tls from "node:tls";'), ["node:tls"]);
  assert.deepEqual(violations('await import("bun:ffi")'), ["bun:ffi"]);
  assert.deepEqual(violations('import * as r from "#runtime";'), ["#runtime"]);
  assert.deepEqual(violations("Deno.listen({})"), ["Deno.listen"]);
});
