import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import * as runtime from "#runtime";
import { certificateFacts, trustedPem } from "../../src/connection/certificate_facts.ts";
import { prefixBytes } from "../../src/connection/prefix.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { at } from "../support/fake_streams.ts";
import { decodeProxyV2 } from "../support/proxy_v2.ts";

const directory = mkdtempSync(join(tmpdir(), "stud-certificates-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const settings = join(directory, "openssl.cnf");
writeFileSync(settings, "[req]\ndistinguished_name = subject\n[subject]\n");

const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

/** Makes a certificate in a file; returns it with its DER. */
function make(name: string, subject: string, key: readonly string[]) {
  const file = join(directory, `${name}.pem`);
  const output = ["-keyout", join(directory, "key.pem"), "-out", file, "-config", settings];
  execFileSync(
    "openssl",
    ["req", "-x509", "-nodes", "-utf8", "-subj", subject, ...key, ...output],
    { stdio: "pipe", timeout: 60_000 },
  );
  return { file, der: new X509Certificate(readFileSync(file)).raw };
}

const rsa = make("rsa", "/O=Example/CN=Jörg/CN=second", ["-newkey", "rsa:2048"]);
const ec = make("ec", "/O=only an organization", EC);

test("algorithms have HAProxy's names", () => {
  const algorithms = (der: Uint8Array) => {
    const { signatureAlgorithm, keyAlgorithm } = certificateFacts(der);
    return [signatureAlgorithm, keyAlgorithm];
  };
  const ec384 = make("ec384", "/CN=x", [...EC.slice(0, 3), "ec_paramgen_curve:secp384r1"]);
  const ed25519 = make("ed25519", "/CN=x", ["-newkey", "ed25519"]);
  assert.deepEqual(algorithms(rsa.der), ["RSA-SHA256", "RSA2048"]);
  assert.deepEqual(algorithms(ec.der), ["ecdsa-with-SHA256", "EC256"]);
  assert.deepEqual(algorithms(ec384.der), ["ecdsa-with-SHA256", "EC384"]);
  assert.deepEqual(algorithms(ed25519.der), ["ED25519", "ED25519"]);
});

test("the common name is the first one of the subject", () => {
  assert.equal(certificateFacts(rsa.der).commonName, "Jörg");
  assert.equal(certificateFacts(ec.der).commonName, undefined);
});

test("facts are cached by the certificate's content", () => {
  assert.equal(certificateFacts(Uint8Array.from(rsa.der)), certificateFacts(rsa.der));
  assert.notDeepEqual(certificateFacts(ec.der), certificateFacts(rsa.der));
});

test("bytes that are not a certificate have no facts", () => {
  for (const der of [new Uint8Array(), Uint8Array.of(0x30, 0x82, 0xff, 0xff, 1, 2, 3)]) {
    assert.deepEqual(certificateFacts(der), {});
  }
});

test("a certificate in hitch's form is OpenSSL's trusted certificate", () => {
  for (const { file, der } of [rsa, ec]) {
    const trusted = execFileSync("openssl", ["x509", "-in", file, "-trustout"], {
      encoding: "utf8",
      timeout: 60_000,
    });
    assert.equal(trustedPem(der), trusted);
    assert.equal(trusted.length, readFileSync(file, "utf8").length + 16);
  }
});

test("PROXY v2 has the client's name and the algorithms of the presented certificate", () => {
  const tls = { version: "TLSv1.3", cipher: "X", peer: { der: rsa.der }, presented: ec.der };
  const about = { client: at("192.0.2.1", 1), frontend: at("192.0.2.2", 2), tls };
  const asked = new Set(["ssl", "cn", "sig-alg", "key-alg"] as const);
  const header = decodeProxyV2(Buffer.from(prefixBytes("proxy-v2", about, asked)));
  assert.deepEqual(header.tlsTypes, [0x21, 0x22, 0x23, 0x24, 0x25]);
  assert.equal(header.commonName, "Jörg");
  assert.equal(header.signatureAlgorithm, "ecdsa-with-SHA256");
  assert.equal(header.keyAlgorithm, "EC256");
});

// Deno's X509Certificate does not escape names; its build requests no client certificates.
const verifying = { skip: !(runtime as Runtime).capabilities.verifyClients };

test("the subject is written as in RFC 4514, the most specific part first", verifying, () => {
  const { der } = make("subject", '/C=DE/O=Exa, mple "x"/CN=José', EC);
  const { subject } = certificateFacts(der);
  assert.equal(subject, 'CN=José,O=Exa\\, mple \\"x\\",C=DE');
});
