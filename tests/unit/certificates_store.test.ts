import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import * as runtime from "#runtime";
import { derToPem } from "../../src/base/pem.ts";
import {
  CertificateStore,
  readChain,
  readKey,
  readMaterial,
} from "../../src/certificates/store.ts";
import type { Material } from "../../src/certificates/served_tls.ts";
import { STORE_FD } from "../../src/worker_protocol/command_line.ts";
import { makeDirectory, programCommand } from "../support/certificate_files.ts";
import { within } from "../support/until.ts";

const { libc } = runtime;
const key = Buffer.from("a key");
const stored = { chain: "chain Ω\n", key };
const material: Material = { chain: stored.chain, key: derToPem("PRIVATE KEY", key) };

function makeStore(context: TestContext): CertificateStore {
  const store = new CertificateStore(libc);
  context.after(() => store.close());
  return store;
}

test("stored data is found at its offset, and equal data is stored once", (t) => {
  const store = makeStore(t);
  const dhParameters = "dh\n";
  const places = [stored, { ...stored, dhParameters }, { ...stored }].map((each) =>
    store.add(each)
  );
  assert.deepEqual(places[2], places[0]);
  assert.equal(store.size, places[0]!.length + places[1]!.length);
  assert.deepEqual(readMaterial(libc, store.readFd, places[0]!), material);
  assert.deepEqual(readMaterial(libc, store.readFd, places[1]!), { ...material, dhParameters });
  assert.equal(readChain(libc, store.readFd, places[1]!), stored.chain);
  assert.deepEqual(readKey(libc, store.readFd, places[1]!), key);
});

test("a range that is not entirely in the store is an error", (t) => {
  const store = makeStore(t);
  const { length } = store.add(stored);
  const places = [
    { offset: 1, length },
    { offset: 0, length: length + 1 },
    { offset: length + 100, length: 1 },
    { offset: -1, length },
    { offset: 0, length: -1 },
    { offset: 0.5, length },
    { offset: 0, length: 2 ** 40 },
    { offset: 2 ** 53, length },
  ];
  for (const place of places) {
    assert.throws(() => readMaterial(libc, store.readFd, place), /certificate store/);
  }
  assert.throws(() => readMaterial(libc, -1, { offset: 0, length }), /EBADF/);
});

test("the descriptor for workers cannot be written to", (t) => {
  const { readFd } = makeStore(t);
  assert.equal(libc.write(readFd, new Uint8Array(1), 1), -1);
});

/** What a worker sees after it has become another user with the root directory `root`. */
async function seenByWorker(context: TestContext, isRoot: boolean, root = "") {
  const store = makeStore(context);
  const place = store.add(stored);
  const directory = makeDirectory(context);
  const source = (path: string) =>
    JSON.stringify(fileURLToPath(new URL(`../../src/${path}`, import.meta.url)));
  const program = join(directory, "worker.ts");
  writeFileSync(
    program,
    `import process from "node:process";
import { libc } from ${source(`runtime/${runtime.name}.ts`)};
import { readMaterial } from ${source("certificates/store.ts")};
import { cString } from ${source("os/structures.ts")};
if (${JSON.stringify(root)} !== "") {
  if (libc.chroot(cString(${JSON.stringify(root)})) !== 0) throw new Error("chroot");
  process.chdir("/");
}
if (${isRoot}) {
  libc.setgroups(0, new Uint8Array(4));
  process.setgid(65534);
  process.setuid(65534);
}
const seen = readMaterial(libc, ${STORE_FD}, ${JSON.stringify(place)});
const isWritten = libc.write(${STORE_FD}, new Uint8Array(1), 1) >= 0;
const isReopened = libc.open(cString("/proc/self/fd/${STORE_FD}"), 2, 0) >= 0;
process.stdout.write(JSON.stringify({ uid: process.getuid(), seen, isWritten, isReopened }));\n`,
  );
  const [executable, ...words] = programCommand(program);
  const child = spawn(executable!, words, {
    stdio: ["ignore", "pipe", "pipe", "pipe", store.readFd],
  });
  context.after(() => child.kill("SIGKILL"));
  let output = "";
  let errors = "";
  child.stdout!.on("data", (bytes) => output += bytes);
  child.stderr!.on("data", (bytes) => errors += bytes);
  const closed = new Promise((resolve) => child.once("close", resolve));
  const code = await within(closed, "the worker ends");
  assert.equal(code, 0, errors);
  return JSON.parse(output);
}

const isRoot = process.getuid?.() === 0;

test("a worker reads the store it inherits, and can in no way write to it", async (t) => {
  const uid = isRoot ? 65534 : process.getuid?.();
  const expected = { uid, seen: material, isWritten: false, isReopened: false };
  assert.deepEqual(await seenByWorker(t, isRoot), expected);
});

const skip = isRoot ? false : "needs root";

test("a worker in another root directory reads the store", { skip }, async (t) => {
  const { uid, seen } = await seenByWorker(t, true, makeDirectory(t));
  assert.deepEqual({ uid, seen }, { uid: 65534, seen: material });
});
