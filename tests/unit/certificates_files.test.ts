import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { clientTls } from "../../src/certificates/client_tls.ts";
import { globPattern } from "../../src/certificates/glob.ts";
import { frontend, makeDirectory, makePem, sectionOf } from "../support/certificate_files.ts";

test("a glob matches like fnmatch", () => {
  const cases: [glob: string, matches: string[], others: string[]][] = [
    ["*", ["a", ".hidden", "two\nlines", ""], []],
    ["*.pem", ["a.pem", ".pem", ".a.pem"], ["a.PEM", "a.pem~", "apem"]],
    ["a**c", ["ac", "abbc"], ["acd"]],
    ["?.pem", ["a.pem", "é.pem", "..pem"], [".pem", "ab.pem"]],
    ["[ab-d].pem", ["a.pem", "c.pem"], ["e.pem", "-.pem"]],
    ["[!ab].pem", ["c.pem"], ["a.pem", ".pem"]],
    ["[^ab].pem", ["c.pem", "!.pem"], ["b.pem"]],
    ["[]a].pem", ["].pem", "a.pem"], ["b.pem"]],
    ["[a-].pem", ["-.pem", "a.pem"], ["b.pem"]],
    ["[\\]", ["\\"], ["]"]],
    ["[", ["["], ["a"]],
    ["[z-ax]", ["x"], ["m", "z", "a"]],
    ["[b-a]", [], ["a", "b", "-", ""]],
    ["[!b-a]", ["a", "b", "-"], [""]],
    ["[xb-a-d]*", ["x", "-1", "dog"], ["a", "b", "c", "e"]],
    ["[--0]", ["-", ".", "0"], ["1", ","]],
    ["[]-a]", ["]", "^", "a"], ["-", "b"]],
    ["[]-]", ["]", "-"], ["[", "\\"]],
    ["[!]a]", ["b", "-"], ["]", "a"]],
    ["[[?*\\]", ["[", "?", "*", "\\"], ["]", "x"]],
    ["[a\\]]", ["a]", "\\]"], ["]", "a"]],
    ["[]", ["[]"], ["[", "]", ""]],
    ["[!]", ["[!]"], ["!", "a"]],
    ["[a", ["[a"], ["a"]],
    ["[😀-😂]", ["😁"], ["😃", "\ud83d"]],
    ["a\\", ["a\\"], ["a"]],
    ["\\[a]", ["[a]"], ["a"]],
    ["*a*b*", ["ab", "xaxbx", "aab"], ["ba", "a", "b"]],
    ["\\*.pem", ["*.pem"], ["a.pem"]],
    ["{a,b}+(c)$^|.pem", ["{a,b}+(c)$^|.pem"], ["a.pem"]],
  ];
  for (const [glob, matches, others] of cases) {
    const pattern = globPattern(glob);
    for (const name of matches) assert.ok(pattern.test(name), `${glob} matches ${name}`);
    for (const name of others) assert.ok(!pattern.test(name), `${glob} does not match ${name}`);
  }
});

test("no glob is invalid, and none is slow", { timeout: 20_000 }, () => {
  const characters = [..."[[]]!^-\\*?abz.{}()|+$/ é😀"];
  let seed = 1;
  const random = (below: number) => {
    seed = seed * 48271 % 2147483647;
    return seed % below;
  };
  const text = (length: number) =>
    Array.from({ length }, () => characters[random(characters.length)]).join("");
  for (let round = 0; round < 20_000; round++) {
    const plain = text(random(8));
    const quoted = [...plain].map((character) => `\\${character}`).join("");
    assert.ok(globPattern(quoted).test(plain), plain);
    assert.equal(globPattern(`${quoted}?`).test(plain), false, plain);
    globPattern(text(random(12))).test(plain);
  }
  assert.equal(globPattern("*a".repeat(100) + "b").test("a".repeat(255)), false);
});

test("TLS to the backend trusts the given CAs, by default those of the system", (t) => {
  const directory = makeDirectory(t);
  const ca = makePem(directory, "ca", { isCa: true });
  const bundle = join(directory, "bundle.crt");
  writeFileSync(bundle, "the system's CAs");
  const bundles = [join(directory, "none"), bundle];
  const { tls } = frontend(1);
  const backend = { serverName: "b.example", verify: true, ca: "", tls };
  const able = { backendTrust: true };
  const given = clientTls({ ...backend, ca }, ["h2"], able, [], bundles);
  const expected = { ...tls, serverName: "b.example", verify: true, alpn: ["h2"] };
  assert.deepEqual(given, { ...expected, ca: sectionOf(ca, "CERTIFICATE") });
  assert.equal(clientTls(backend, [], able, [], bundles).ca, readFileSync(bundle, "utf8"));
  assert.equal(clientTls(backend, [], { backendTrust: false }, [], []).ca, "");
  assert.equal(clientTls({ ...backend, verify: false }, [], able, [], []).ca, "");
  assert.throws(() => clientTls(backend, [], able, [], bundles.slice(0, 1)), {
    name: "UsageError",
    message: /ca-certificates, or specify a file/,
  });
  assert.throws(() => clientTls({ ...backend, ca: bundle }, [], able, []), {
    name: "UsageError",
    message: /bundle\.crt: no CA certificate in it;/,
  });
});
