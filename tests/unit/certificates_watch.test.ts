import { test } from "node:test";
import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fingerprintOf } from "../../src/certificates/fingerprint.ts";
import { CertificateWatch } from "../../src/certificates/watch.ts";
import type { ClientVerify, Config } from "../../src/options/config.ts";
import { configuration, frontend, makeDirectory, pemFile } from "../support/certificate_files.ts";
import { HandClock } from "../support/hand_clock.ts";

const watched: Config = { ...configuration(), watch: true };

/** A watch over files which are a word. */
function watching() {
  const clock = new HandClock();
  const state = { files: "old", changes: 0, looks: 0, lookMs: 0 };
  const watch = new CertificateWatch(() => state.changes++, {
    clock,
    look: () => {
      state.looks++;
      const seen = state.files;
      if (state.lookMs === 0) return Promise.resolve(seen);
      return new Promise((resolve) => clock.after(state.lookMs, () => resolve(seen)));
    },
  });
  const pass = async (ms: number, step = 500) => {
    for (let i = 0; i < ms; i += step) {
      clock.advance(step);
      await turn();
    }
  };
  return { state, watch, pass };
}

test("a change is reported when two consecutive polls have found the same", async () => {
  const { state, watch, pass } = watching();
  await watch.begin(watched);
  await pass(10_000);
  assert.equal(state.looks, 6, "one at the beginning and one every two seconds");
  assert.equal(state.changes, 0);
  state.files = "new";
  await pass(2000);
  assert.equal(state.changes, 0);
  await pass(2000);
  assert.equal(state.changes, 1);
  await pass(10_000);
  assert.equal(state.changes, 1, "once");
});

test("a change is not reported while files keep changing", async () => {
  const { state, watch, pass } = watching();
  await watch.begin(watched);
  for (const files of ["certificate", "certificate and key", "all"]) {
    state.files = files;
    await pass(2000);
    assert.equal(state.changes, 0);
  }
  await pass(2000);
  assert.equal(state.changes, 1);
});

test("a change that was reverted is not reported, and counts again later", async () => {
  const { state, watch, pass } = watching();
  await watch.begin(watched);
  for (const files of ["new", "old", "new", "old"]) {
    state.files = files;
    await pass(2000);
  }
  assert.equal(state.changes, 0);
});

test("what changes while a configuration is loaded is not missed", async () => {
  const { state, watch, pass } = watching();
  await watch.begin(watched);
  state.files = "changed during the load";
  await pass(4000);
  assert.equal(state.changes, 1);
});

test("a new watch starts with the current files and ends the previous one", async () => {
  const { state, watch, pass } = watching();
  await watch.begin(watched);
  state.files = "new";
  await pass(2000);
  await watch.begin(watched);
  await pass(8000);
  assert.equal(state.changes, 0);
  assert.equal(state.looks, 7, "the first round looks no more");
});

test("nothing is watched unless requested", async () => {
  const { state, watch, pass } = watching();
  await watch.begin({ ...watched, watch: false });
  await pass(4000);
  assert.equal(state.looks, 0);
  await watch.begin(watched);
  await watch.begin({ ...watched, watch: false });
  state.files = "new";
  await pass(8000);
  assert.equal(state.looks, 1);
  assert.equal(state.changes, 0);
});

test("looks that take long are rarer", async () => {
  const { state, watch, pass } = watching();
  await watch.begin(watched);
  state.lookMs = 200;
  await pass(2000 + 200 + 7800, 100);
  assert.equal(state.looks, 2);
  await pass(300, 100);
  assert.equal(state.looks, 3, "a fortieth of the time at most");
});

const verify = (ca: string, crl: string): ClientVerify => ({ mode: "required", ca, crl });

test("every file from which certificates are loaded is looked at", async (context) => {
  const directory = makeDirectory(context);
  writeFileSync(join(directory, "in-directory.pem"), "");
  const looks: string[] = [];
  const own = pemFile("/cert", { key: "/key", ocspResponse: "/response" });
  await fingerprintOf({
    ...watched,
    pemFiles: [{ ...own, clientVerify: verify("/ca", "/crl") }],
    frontends: [{
      ...frontend(443),
      pemFiles: [pemFile("/frontend-cert")],
      clientVerify: verify("/frontend-ca", ""),
    }],
    backendTls: { serverName: "", verify: true, ca: "/backend-ca", tls: frontend(443).tls },
    passphraseFile: "/passphrases",
    sessions: {
      ...watched.sessions,
      ticketSecretFile: "/ticket-secret",
      ticketStoreCa: "/store-ca",
    },
    pemDirectory: { path: directory, glob: "*.pem" },
  }, (file) => {
    looks.push(file);
    return Promise.resolve("");
  });
  assert.deepEqual(
    looks.sort(),
    [
      ...["/backend-ca", "/ca", "/cert", "/crl", "/frontend-ca", "/frontend-cert", "/key"],
      ...["/passphrases", "/response", "/store-ca", "/ticket-secret"],
      join(directory, "in-directory.pem"),
    ].sort(),
  );
});

test("thousands of files are looked at a few at a time", async () => {
  let [now, most, all] = [0, 0, 0];
  const pemFiles = Array.from({ length: 2000 }, (_, i) => pemFile(`/${i}`));
  await fingerprintOf({ ...watched, pemFiles }, async () => {
    all++;
    most = Math.max(most, ++now);
    await turn();
    now--;
    return "";
  });
  assert.equal(all, 2000);
  assert.ok(most <= 32, `${most} at once`);
});

test("each kind of change makes another fingerprint", async (context) => {
  const directory = makeDirectory(context);
  const file = (name: string) => join(directory, name);
  mkdirSync(file("pems"));
  for (const name of ["one", "two", "pems/a.pem"]) writeFileSync(file(name), name);
  symlinkSync(file("one"), file("link"));
  const config: Config = {
    ...watched,
    pemFiles: [pemFile(file("link"))],
    pemDirectory: { path: file("pems"), glob: "*.pem" },
  };
  const changes: Record<string, () => void> = {
    "a symbolic link is exchanged": () => {
      symlinkSync(file("two"), file("new"));
      renameSync(file("new"), file("link"));
    },
    "a file is rewritten with the same length": () => writeFileSync(file("two"), "owt"),
    "a time is changed": () => utimesSync(file("two"), 1, 1),
    "a file is removed": () => rmSync(file("two")),
    "a file comes into the directory": () => writeFileSync(file("pems/b.pem"), ""),
    "a file is removed from the directory": () => rmSync(file("pems/a.pem")),
    "the directory is removed": () => rmSync(file("pems"), { recursive: true }),
  };
  for (const [what, change] of Object.entries(changes)) {
    const before = await fingerprintOf(config);
    assert.equal(await fingerprintOf(config), before);
    change();
    assert.notEqual(await fingerprintOf(config), before, what);
  }
});

test("files that the glob does not match, and directories, are ignored", async (context) => {
  const directory = makeDirectory(context);
  mkdirSync(join(directory, "sub.pem"));
  const pemDirectory = { path: directory, glob: "*.pem" };
  const before = await fingerprintOf({ ...watched, pemDirectory });
  writeFileSync(join(directory, "notes.txt"), "");
  writeFileSync(join(directory, "sub.pem", "inside"), "");
  assert.equal(await fingerprintOf({ ...watched, pemDirectory }), before);
});
