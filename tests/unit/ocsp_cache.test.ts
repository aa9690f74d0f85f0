import { after, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { directoryProblem, ResponseCache } from "../../src/ocsp/cache.ts";
import { MAX_RESPONSE } from "../../src/ocsp/messages.ts";

const directory = mkdtempSync(join(tmpdir(), "stud-cache-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const cache = new ResponseCache(directory);
const path = "/etc/stud/a.example.pem";
/** `printf %s /etc/stud/a.example.pem | md5sum` */
const digest = execFileSync("md5sum", { input: path, encoding: "utf8" }).slice(0, 32);

test("a response is kept under the name that hitch gives it", () => {
  const response = Uint8Array.of(0x30, 1, 2, 3);
  assert.equal(cache.load(path), undefined);
  cache.save(path, response);
  assert.deepEqual(readdirSync(directory), [digest]);
  assert.equal(statSync(join(directory, digest)).mode & 0o137, 0, "mode 0640 at most");
  assert.deepEqual([...cache.load(path)!], [...response]);
  cache.save(path, Uint8Array.of(9));
  assert.deepEqual([...cache.load(path)!], [9]);
});

test("a file that is too large or empty is not a response", () => {
  for (const size of [0, MAX_RESPONSE + 1]) {
    writeFileSync(join(directory, digest), new Uint8Array(size));
    assert.equal(cache.load(path), undefined);
  }
});

test("a missing directory is reported, and a failed save leaves nothing behind", () => {
  const none = join(directory, "none");
  const missing = new ResponseCache(none);
  assert.equal(missing.isWritable, false);
  assert.equal(cache.isWritable, true);
  assert.throws(() => missing.save(path, Uint8Array.of(1)), /ENOENT/);
  assert.equal(directoryProblem(directory), undefined);
  assert.match(directoryProblem(none)!, /^unable to stat directory '.*': .*stapling will be disab/);
  assert.match(directoryProblem(join(directory, digest))!, /is not a directory/);
});
