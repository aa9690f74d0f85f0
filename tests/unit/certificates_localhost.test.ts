import { test } from "node:test";
import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { localhostCertificate } from "../../src/certificates/localhost.ts";
import { run } from "../support/commands.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

test("the demo's certificate is for this machine, valid for a day and self-signed", () => {
  const { certificate, key } = localhostCertificate(Date.parse("2026-11-30T12:00:00Z"));
  const read = new X509Certificate(certificate);
  assert.equal(read.subject, "CN=localhost");
  assert.equal(read.checkHost("localhost"), "localhost");
  for (const address of ["127.0.0.1", "::1"]) assert.ok(read.checkIP(address), address);
  assert.equal(read.checkHost("example.com"), undefined);
  assert.ok(read.checkPrivateKey(createPrivateKey(key)));
  assert.ok(read.verify(read.publicKey));
  assert.equal(Date.parse(read.validFrom), Date.parse("2026-11-30T12:00:00Z"));
  assert.equal(Date.parse(read.validTo) - Date.parse(read.validFrom), DAY_MS);
});

test("two certificates have nothing in common", () => {
  const [one, other] = [localhostCertificate(), localhostCertificate()];
  assert.notEqual(one.key, other.key);
  const serials = [one, other].map(({ certificate }) =>
    new X509Certificate(certificate).serialNumber
  );
  assert.notEqual(serials[0], serials[1]);
});

test("from 2050 on the year of a date has four digits", () => {
  for (const year of [2049, 2050, 2051]) {
    const { certificate } = localhostCertificate(Date.UTC(year, 0, 2));
    const { validFrom } = new X509Certificate(certificate);
    assert.equal(new Date(validFrom).getUTCFullYear(), year);
  }
});

test("openssl verifies it as its own issuer", async () => {
  const directory = mkdtempSync(join(tmpdir(), "stud-test-"));
  try {
    const file = join(directory, "certificate.pem");
    writeFileSync(file, localhostCertificate().certificate);
    const words = ["verify", "-CAfile", file, "-verify_hostname", "localhost", file];
    const { code, stdout, stderr } = await run("openssl", words);
    assert.equal(code, 0, stdout + stderr);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
