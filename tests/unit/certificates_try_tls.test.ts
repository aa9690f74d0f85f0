import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as adapter from "#runtime";
import { Passphrases } from "../../src/certificates/passphrases.ts";
import { Certificates } from "../../src/certificates/certificates.ts";
import { UsageError } from "../../src/base/errors.ts";
import { tryTls } from "../../src/certificates/try_tls.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import {
  configuration,
  frontend,
  makeDirectory,
  makePem,
  pemFile,
} from "../support/certificate_files.ts";

const runtime: Runtime = adapter;

/** Tries files as a start or a reload does, and counts the chains that reach the TLS library. */
function trying() {
  const certificates = new Certificates(runtime.libc, new Passphrases(), 4096);
  const chains = new Map<string, number>();
  let refused = "";
  const counting: Runtime = {
    ...runtime,
    passedOver: ({ ciphers }) => ({ ciphers, ciphersuites: "", curves: "" }),
    createTlsContext(settings) {
      const { chain } = settings.identity(0).certificates[0]!;
      chains.set(chain, (chains.get(chain) ?? 0) + 1);
      if (chain === refused) throw new Error("EE_KEY_TOO_SMALL");
      return { settings };
    },
  };
  /** How often each file's chain was tried. */
  const tryAll = (...files: string[]): number[] => {
    chains.clear();
    const tls = { ...frontend(1).tls, ciphers: "a", ciphersuites: "b", curves: "c" };
    const config = configuration({
      pemFiles: files.map((file) => pemFile(file)),
      frontends: [frontend(1, { tls })],
    });
    const loaded = certificates.load(config, runtime.capabilities);
    assert.deepEqual(loaded.problems, []);
    const warnings = tryTls(counting, config, loaded, undefined);
    assert.deepEqual(warnings, ["--ciphers: passed over a"]);
    return loaded.sources.map(({ chain }) => chains.get(chain()) ?? 0);
  };
  const refuse = (pem: string) => {
    refused = /-----BEGIN CERTIFICATE-----[^]*/.exec(pem)?.[0] ?? "";
  };
  return { tryAll, refuse };
}

function pems(context: TestContext, ...names: string[]): string[] {
  const directory = makeDirectory(context);
  return names.map((name) => makePem(directory, name));
}

/** Of the last certificate, with the frontend's four settings. */
const SETTINGS = 4;

test("a reload tries only what is new", (context) => {
  const { tryAll } = trying();
  const [a, b, c] = pems(context, "a", "b", "c");
  assert.deepEqual(tryAll(a!, b!), [1, 1 + SETTINGS]);
  assert.deepEqual(tryAll(a!, b!), [0, 0]);
  // The last one is tried with the settings.
  assert.deepEqual(tryAll(b!, c!, a!), [0, 1, SETTINGS]);
  assert.deepEqual(tryAll(b!, c!), [0, SETTINGS]);
});

test("one that the library refused is tried again", (context) => {
  const { tryAll, refuse } = trying();
  const [a, b] = pems(context, "a", "b");
  tryAll(a!);
  refuse(readFileSync(b!, "utf8"));
  for (let i = 0; i < 2; i++) {
    assert.throws(
      () => tryAll(a!, b!),
      (error) => error instanceof UsageError && error.problems[0]!.includes(b!),
    );
  }
  refuse("");
  assert.deepEqual(tryAll(a!, b!), [0, 1 + SETTINGS]);
});

test("in another store all are tried again", (context) => {
  const { tryAll } = trying();
  const [a] = pems(context, "a");
  assert.deepEqual(tryAll(a!), [1 + SETTINGS]);
  const others = pems(context, ...Array.from({ length: 12 }, (_, i) => `other${i}`));
  tryAll(...others);
  // From now on the unused part exceeds what the store may waste.
  tryAll(a!);
  assert.deepEqual(tryAll(a!), [1 + SETTINGS]);
});
