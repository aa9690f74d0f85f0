/**
 * What the adapters use of their runtimes beyond the documentation and no other test of the contract
 * covers; docs/design.md has the list.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import * as runtime from "#runtime";
import { missingMembers } from "../../src/runtime/completeness.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { listen, pause, Recorder, visit } from "../support/adapter.ts";

const { name, self, collectGarbage }: Runtime = runtime;
const limit = { timeout: 60_000 };
const isBun = /^bun$/.test(name);
const isNode = /^node$/.test(name);
const MiB = 1024 * 1024;

test("missing members are reported by name", () => {
  class Handle {
    close() {}
  }
  assert.deepEqual(missingMembers("Handle", Handle.prototype, ["close", "open"]), ["Handle.open"]);
  assert.deepEqual(missingMembers("x", undefined, ["a", "b"]), ["x.a", "x.b"]);
  assert.deepEqual(missingMembers("x", null, ["a"]), ["x.a"]);
  assert.deepEqual(missingMembers("f", () => {}, ["name"]), []);
});

test("a runtime that lacks something is refused by its name, in one line", limit, () => {
  const child = fileURLToPath(new URL("../support/incomplete_child.ts", import.meta.url));
  const [command, ...words] = [...self.slice(0, -1), child, "--version"];
  const { status, stdout, stderr } = spawnSync(command!, words, {
    encoding: "utf8",
    timeout: 50_000,
  });
  assert.equal(status, 1);
  assert.equal(stdout, "");
  const [, version, lacks] =
    /^stud: ((?:Bun|Deno|Node\.js) [\d.]+) is not supported: it has no (.+); use .+ [\d.]+\n$/
      .exec(stderr) ?? assert.fail(stderr);
  assert.equal(version, runtime.versions().runtime);
  assert.match(
    lacks!,
    /^(Socket\.fd and \d+ more|Deno\.core\.write and 2 more|tcp_wrap\.\w+ and \d+ more)$/,
  );
});

test("garbage is collected on request", limit, async (context) => {
  // In Deno only V8 itself decides when to collect.
  if (!isBun && !isNode) return context.skip("not by the Deno adapter");
  for (const withCode of [false, true]) {
    const refs = await uncollected();
    collectGarbage(withCode);
    await pause(1);
    const left = refs.filter((ref) => ref.deref()).length;
    // A conservative collector may take a number on the stack for a pointer.
    assert.ok(left <= refs.length / 10, `${left} of ${refs.length} are left`);
  }
});

/** Garbage that the runtime has not collected by itself, as it may at any time. */
async function uncollected(): Promise<WeakRef<object>[]> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const refs = makeGarbage();
    await pause(1);
    const isWhole = refs.every((ref) => ref.deref());
    await pause(1);
    if (isWhole) return refs;
  }
  return assert.fail("all garbage was collected at once");
}

test("memory that the TLS library has freed is returned to the system", limit, async (context) => {
  if (isBun) return context.skip("Bun's allocator is not glibc's");
  const { malloc, memset, free } = await allocator();
  const size = 65_536;
  const blocks = Array.from({ length: 2000 }, () => malloc(size));
  for (const block of blocks) memset(block, 1, size);
  // While the last one is in use, glibc itself returns nothing.
  const last = blocks.pop();
  for (const block of blocks) free(block);
  const before = process.memoryUsage.rss();
  collectGarbage(false);
  const freed = before - process.memoryUsage.rss();
  assert.ok(freed > 50 * MiB, `${freed / MiB} MiB were returned`);
  free(last);
});

test("without session tickets, none is sent", limit, async (context) => {
  if (!isBun && !isNode) return context.skip("rustls sends some that it never accepts");
  for (const tickets of [true, false]) {
    const { port, stop } = listen({
      settings: { tickets },
      accepted(stream) {
        return new Recorder({
          opened(opened) {
            opened.write(new TextEncoder().encode("GOT"));
            opened.finish();
          },
        }).take(stream);
      },
    });
    const said = await visit(port, "-tls1_3", "-msg");
    assert.match(said, /GOT/);
    assert.equal(/NewSessionTicket/.test(said), tickets);
    await stop();
  }
});

test("an address that Node no longer shows is refused", limit, async (context) => {
  if (!isNode) return context.skip("Node only");
  const { addressIn } = await import("../../src/runtime/node/native_openssl.ts");
  assert.equal(addressIn("[External: 5581d3a0]"), "0x5581d3a0");
  assert.equal(addressIn("[External: 0x7f015581d3a0]"), "0x7f015581d3a0");
  for (const shown of ["[External]", "[External: <pointer>]", "{}", ""]) {
    assert.throws(() => addressIn(shown), /^Error: Node\.js [\d.]+ does not show the address/);
  }
});

/** Returns references to objects that nothing else refers to. */
function makeGarbage(): WeakRef<object>[] {
  return Array.from({ length: 100 }, (_, i) => new WeakRef({ payload: new Array(1000).fill(i) }));
}

interface Allocator {
  malloc(size: number): unknown;
  memset(block: unknown, byte: number, size: number): unknown;
  free(block: unknown): void;
}

/** Returns the C library's allocator, which the runtime and its TLS library use too. */
async function allocator(): Promise<Allocator> {
  if (isNode) {
    const { ffi } = await import("../../src/runtime/node/libc.ts");
    const { malloc, memset, free } = ffi.dlopen("libc.so.6", {
      malloc: { arguments: ["u64"], return: "pointer" },
      memset: { arguments: ["pointer", "i32", "u64"], return: "pointer" },
      free: { arguments: ["pointer"], return: "void" },
    }).functions;
    return {
      malloc: (size) => malloc!(BigInt(size)),
      memset: (block, byte, size) => memset!(block as bigint, byte, BigInt(size)),
      free: (block) => free!(block as bigint),
    };
  }
  const { Deno } = globalThis as unknown as {
    Deno: { dlopen(path: string, symbols: object): { symbols: unknown } };
  };
  return Deno.dlopen("libc.so.6", {
    malloc: { parameters: ["usize"], result: "pointer" },
    memset: { parameters: ["pointer", "i32", "usize"], result: "pointer" },
    free: { parameters: ["pointer"], result: "void" },
  }).symbols as Allocator;
}
