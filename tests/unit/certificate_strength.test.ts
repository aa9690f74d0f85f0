import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { rareCurve, weaknessOf } from "../../src/base/certificate_strength.ts";

const directory = mkdtempSync(join(tmpdir(), "stud-strength-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const CURVE = (name: string) => ["ec", "-pkeyopt", `ec_paramgen_curve:${name}`];
const file = (name: string) => join(directory, name);

function openssl(...words: string[]): void {
  execFileSync("openssl", words, { stdio: "pipe" });
}

/** Returns a certificate (DER): self-signed, or signed by a CA with this digest. */
function make(key: readonly string[], digest = "", subject = "x"): Uint8Array {
  const output = ["-nodes", "-keyout", file("key"), "-subj", `/CN=${subject}`];
  if (digest === "") {
    openssl("req", "-x509", "-newkey", ...key, ...output, "-out", file("crt"));
  } else {
    openssl("req", "-newkey", ...key, ...output, "-out", file("csr"));
    const ca = ["-CA", file("ca.crt"), "-CAkey", file("ca.key"), "-CAcreateserial", `-${digest}`];
    openssl("x509", "-req", "-in", file("csr"), ...ca, "-out", file("crt"));
  }
  return new X509Certificate(readFileSync(file("crt"))).raw;
}

test("small keys and broken digests are too weak, and nothing else", () => {
  const ca = ["-keyout", file("ca.key"), "-out", file("ca.crt"), "-subj", "/CN=ca"];
  openssl("req", "-x509", "-nodes", "-newkey", ...CURVE("prime256v1"), ...ca);
  const cases: [key: readonly string[], digest: string, weakness: RegExp | undefined][] = [
    [["rsa:512"], "", /^has an RSA key of 512 bits, which is less than 2048$/],
    [["rsa:1024"], "", /^has an RSA key of 1024 bits/],
    [["rsa:1024"], "sha256", /^has an RSA key of 1024 bits/],
    [["rsa:2047"], "", /^has an RSA key of 2047 bits/],
    [["rsa:2048"], "", undefined],
    [["rsa:2056"], "", undefined],
    [
      CURVE("prime192v1"),
      "",
      /^has a key of 192 bits on an elliptic curve, which is less than 224$/,
    ],
    [CURVE("secp224r1"), "", undefined],
    [CURVE("prime256v1"), "sha256", undefined],
    [CURVE("secp521r1"), "sha384", undefined],
    [["ed25519"], "sha256", undefined],
    [CURVE("prime256v1"), "sha1", /^is signed with SHA-1$/],
    [["rsa:2048"], "sha1", /^is signed with SHA-1$/],
  ];
  for (const [key, digest, weakness] of cases) {
    const found = weaknessOf(make(key, digest));
    if (weakness) assert.match(found!.text, weakness);
    else assert.equal(found, undefined, String(key));
  }
});

test("the signature of a root does not count", () => {
  assert.equal(weaknessOf(make([...CURVE("prime256v1"), "-sha1"])), undefined);
});

test("curves that some builds lack have their names", () => {
  const names = ["secp224r1", "secp256k1", "brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"];
  for (const name of names) assert.equal(rareCurve(make(CURVE(name))), name);
  for (const key of [CURVE("prime256v1"), CURVE("secp384r1"), CURVE("secp521r1"), ["rsa:2048"]]) {
    assert.equal(rareCurve(make(key)), undefined);
  }
});

test("what is no certificate is not judged", () => {
  for (const bytes of [new Uint8Array(), Uint8Array.of(0x30, 3, 1, 1, 1), new Uint8Array(100)]) {
    assert.equal(weaknessOf(bytes), undefined);
    assert.equal(rareCurve(bytes), undefined);
  }
});
