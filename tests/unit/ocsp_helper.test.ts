import { after, test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import * as runtime from "#runtime";
import type { StapleCommand } from "../../src/ocsp/staples.ts";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { ResponseCache } from "../../src/ocsp/cache.ts";
import type { OcspCertificate } from "../../src/ocsp/messages.ts";
import { OcspHelper, type OcspWork, spawnOcsp } from "../../src/ocsp/ocsp_master.ts";
import { checkResponse } from "../../src/ocsp/response.ts";
import { readSubject } from "../../src/ocsp/subject.ts";
import {
  type Answer,
  answer,
  bodyOf,
  chain,
  file,
  makeCertificate,
  serveHttp,
} from "../support/ocsp.ts";
import { isAlive, userOf } from "../support/processes.ts";
import { until } from "../support/until.ts";

const program = fileURLToPath(new URL("../support/ocsp_main.ts", import.meta.url));
const flags = {
  bun: [],
  deno: ["run", "--allow-all", "--no-check", "--unstable-net"],
  node: ["--disable-warning=ExperimentalWarning"],
}[runtime.name as "bun" | "deno" | "node"];
const self = [process.execPath, ...flags, program];
const serial = 0x77;
const helpers: OcspHelper[] = [];

after(() => Promise.all(helpers.map((helper) => helper.stop())));

/** What the responder answers, and how often it was asked. */
let how: Answer | Uint8Array = {};
let asked = 0;
const responder = await serveHttp(async (incoming, outgoing) => {
  asked++;
  const request = await bodyOf(incoming);
  outgoing.end(how instanceof Uint8Array ? how : answer(request, serial, how));
});
makeCertificate("ca");
makeCertificate("leaf", {
  issuer: "ca",
  serial,
  extensions: [`authorityInfoAccess=OCSP;URI:${responder}/`],
});
makeCertificate("plain", { issuer: "ca" });
const leafChain = chain("leaf", "ca");
const path = "/etc/stud/leaf.pem";
let directories = 0;

/** A new directory for the cache, which a helper with another user can search. */
function cacheDirectory(): string {
  chmodSync(file("."), 0o755);
  const directory = file(`cache${directories++}`);
  mkdirSync(directory);
  return directory;
}

function workIn(directory: string, change: Partial<OcspCertificate> = {}): OcspWork {
  return {
    settings: {
      directory,
      connectTimeout: 4,
      responseTimeout: 10,
      refreshInterval: 1800,
      logLevel: 2,
    },
    certificates: [{ certificate: 0, path, chain: leafChain, verify: false, ...change }],
  };
}

function started(work: OcspWork) {
  const staples: StapleCommand[] = [];
  const entries: LogEntry[] = [];
  const log = (entry: LogEntry) => void entries.push(entry);
  const helper = new OcspHelper(
    (certificates) => spawnOcsp({ ...runtime, self }, certificates, log),
    { staple: (staple) => staples.push(staple), log },
  );
  helpers.push(helper);
  helper.replace(work, []);
  const logged = async (pattern: RegExp): Promise<LogEntry> => {
    const find = () => entries.find(({ message }) => pattern.test(message));
    await until(find, String(pattern));
    return find()!;
  };
  return { helper, staples, entries, logged };
}

/** The process's requests, and those of all before it, are counted. */
function reset(next: Answer | Uint8Array): void {
  how = next;
  asked = 0;
}

test("a staple is fetched, reported and saved, and the next helper finds it", async () => {
  reset({});
  const directory = cacheDirectory();
  const first = started(workIn(directory));
  await until(() => first.staples.length === 1, "a staple");
  const [staple] = first.staples;
  const response = Buffer.from(staple!.response, "base64");
  const { until: end } = checkResponse(response, readSubject(leafChain), { verify: true });
  assert.deepEqual(staple, { ...staple!, certificate: 0, until: end });
  const { level, facts } = await first.logged(/leaf.pem: retrieved new staple; refresh scheduled/);
  assert.deepEqual([level, facts.certificate], ["debug", path]);
  const cache = new ResponseCache(directory);
  await until(() => cache.load(path)?.length === response.length, "a file in the cache");

  const second = started(workIn(directory, { verify: true }));
  await second.logged(/loaded cached OCSP staple/);
  assert.deepEqual(second.staples, [staple]);
  assert.equal(asked, 1);
  assert.equal(readdirSync(directory).length, 1);
});

test("an invalid response in the cache is reported, and a new one is fetched", async () => {
  reset({});
  const directory = cacheDirectory();
  new ResponseCache(directory).save(path, Buffer.from("broken"));
  const { staples, logged } = started(workIn(directory));
  const { level } = await logged(/leaf.pem: the cached response is not used: the bytes are not an/);
  assert.equal(level, "warn");
  await until(() => staples.length === 1, "a staple");
  assert.equal(asked, 1);
});

test("a staple from a file that lasts long enough is not replaced yet", async () => {
  reset({});
  const lasting = started(workIn(cacheDirectory(), { staple: { until: Date.now() + 1e6 } }));
  const ended = started(workIn(cacheDirectory(), { staple: { until: Date.now() - 1 } }));
  await until(() => ended.staples.length === 1, "a staple");
  assert.deepEqual(lasting.staples, []);
  assert.equal(asked, 1);
});

test("there is no staple for a revoked certificate or with a wrong signature", async () => {
  makeCertificate("stranger", { commonName: "ca" });
  const answers: [Answer | Uint8Array, RegExp][] = [
    [{ status: "revoked" }, /no new staple: the certificate's status is revoked$/],
    [{ signer: "stranger" }, /no new staple: the OCSP response is not signed by/],
    [Buffer.from("<html>"), /no new staple: the bytes are not an OCSP response$/],
  ];
  for (const [next, pattern] of answers) {
    reset(next);
    const { helper, staples, logged } = started(workIn(cacheDirectory()));
    assert.equal((await logged(pattern)).level, "warn");
    assert.deepEqual(staples, []);
    await helper.stop();
  }
});

test("a certificate without a responder does not affect the others", async () => {
  reset({});
  const work = workIn(cacheDirectory());
  const [leaf] = work.certificates;
  const { staples, logged } = started({
    ...work,
    certificates: [
      { ...leaf!, certificate: 0, path: "plain.pem", chain: chain("plain", "ca") },
      { ...leaf!, certificate: 1, path: "lonely.pem", chain: chain("leaf") },
      { ...leaf!, certificate: 2 },
    ],
  });
  assert.equal((await logged(/cert plain.pem: no OCSP responder URI found$/)).level, "debug");
  assert.equal((await logged(/cert lonely.pem: unable to find its issuer/)).level, "warn");
  await until(() => staples.length === 1, "a staple");
  assert.equal(staples[0]!.certificate, 2);
});

test("the log level suppresses lower levels", async () => {
  reset({});
  const work = workIn(cacheDirectory());
  const { staples, entries } = started({ ...work, settings: { ...work.settings, logLevel: 1 } });
  await until(() => staples.length === 1, "a staple");
  assert.deepEqual(entries, []);
});

const isRoot = process.getuid!() === 0;

test("a directory that its user cannot write to is reported, and staples are still fetched", {
  skip: isRoot ? false : "only root can become another user",
}, async () => {
  reset({});
  const directory = cacheDirectory();
  const ids = { uid: 65534, gid: 65534 };
  const { helper, staples, logged } = started({ ...workIn(directory), ids });
  const { level } = await logged(/ocsp-dir '.*' is not writable for the configured user$/);
  assert.equal(level, "warn");
  assert.equal(userOf(helper.pid!), 65534);
  await until(() => staples.length === 1, "a staple");
  assert.deepEqual(readdirSync(directory), []);
});

test("a stopped helper has exited", async () => {
  const { helper } = started(workIn(cacheDirectory()));
  const pid = helper.pid!;
  assert.ok(isAlive(pid));
  await helper.stop();
  assert.equal(isAlive(pid), false);
});

test("the helper exits with its master", async () => {
  const child = spawn(self[0]!, self.slice(1), { stdio: ["pipe", "ignore", "ignore", "pipe"] });
  let code: number | null | undefined;
  child.on("exit", (status) => code = status);
  child.stdin!.end();
  await until(() => code !== undefined, "the helper's end");
  assert.equal(code, 0);
});
