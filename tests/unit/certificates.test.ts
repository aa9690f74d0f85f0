import { test } from "node:test";
import assert from "node:assert/strict";
import { generate } from "selfsigned";
import { parseBundle, validityWarning } from "../../src/certificates/pem.ts";
import { certificateSelector } from "../../src/certificates/sni.ts";

function make(commonName: string, names: readonly string[] = [], notAfterDate?: Date) {
  return generate([{ name: "commonName", value: commonName }], {
    keyType: "ec",
    curve: "P-256",
    ...(notAfterDate ? { notAfterDate, notBeforeDate: new Date(0) } : {}),
    extensions: names.length === 0 ? [{ name: "basicConstraints", cA: false }] : [{
      name: "subjectAltName",
      altNames: names.map((value) => ({ type: 2 as const, value })),
    }],
  });
}

test("a bundle may have its sections in any order, with others among them", async () => {
  const leaf = await make("leaf", ["A.example", "b.example"]);
  const issuer = await make("issuer");
  const dh = "------BEGIN DH PARAMETERS-----\nMAA=\n-----END DH PARAMETERS-----\n";
  for (
    const text of [
      `${leaf.cert}\n${issuer.cert}\n${leaf.private}`,
      `${leaf.private}\n${leaf.cert}\n${issuer.cert}`,
      `some words\n${dh}${leaf.cert}\n${leaf.private}\n${issuer.cert}\n${issuer.private}`,
    ]
  ) {
    const bundle = parseBundle(text, "x.pem");
    assert.deepEqual(bundle.names, ["a.example", "b.example"]);
    assert.equal(bundle.chain.match(/BEGIN CERTIFICATE/g)?.length, 2);
    assert.ok(bundle.chain.startsWith(leaf.cert.trim()));
    assert.match(bundle.key, /^-----BEGIN PRIVATE KEY-----/);
  }
});

test("names come from the common name only where there are no others", async () => {
  const plain = await make("Only.Example");
  assert.deepEqual(parseBundle(plain.cert + plain.private, "x").names, ["only.example"]);
  const both = await make("not.example", ["yes.example"]);
  assert.deepEqual(parseBundle(both.cert + both.private, "x").names, ["yes.example"]);
});

test("what is wrong with a bundle is said with its file", async () => {
  const one = await make("one");
  const other = await make("other");
  const encrypted =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----";
  const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  const cases: [text: string, message: RegExp][] = [
    ["", /^x\.pem: no certificate in it;/],
    [one.private, /^x\.pem: no certificate in it;/],
    [one.cert, /^x\.pem: no private key in it;/],
    [one.cert + other.private, /^x\.pem: the private key does not belong to/],
    [one.cert + encrypted, /^x\.pem: the private key is encrypted/],
    [broken + one.private, /^x\.pem: its certificate cannot be read/],
    [one.cert + broken.replaceAll("CERTIFICATE", "PRIVATE KEY"), /^x\.pem: its private key cannot/],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => parseBundle(text, "x.pem"), { name: "UsageError", message });
  }
});

test("a certificate out of its time is told", async () => {
  const expired = await make("old", [], new Date("2020-01-01"));
  const bundle = parseBundle(expired.cert + expired.private, "old.pem");
  assert.match(validityWarning(bundle, "old.pem", new Date("2021-01-01"))!, /old\.pem: .*expired/);
  assert.equal(validityWarning(bundle, "old.pem", new Date("2019-01-01")), undefined);
  assert.match(validityWarning(bundle, "old.pem", new Date("1969-01-01"))!, /only from/);
});

test("SNI chooses exactly, without case, the first that is listed, by default the last", () => {
  const select = certificateSelector([
    { names: ["a.example", "shared.example"] },
    { names: ["b.example", "shared.example", "*.wild.example"] },
    { names: ["a.example"] },
  ]);
  assert.equal(select("a.example"), 0);
  assert.equal(select("B.EXAMPLE"), 1);
  assert.equal(select("shared.example"), 0);
  assert.equal(select("x.wild.example"), 2);
  assert.equal(select("unknown.example"), 2);
  assert.equal(select(""), 2);
});
