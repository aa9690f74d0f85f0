import { test } from "node:test";
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { readAuthorities } from "../../src/certificates/trust.ts";
import { makeDirectory, makePem, openssl, sectionOf } from "../support/certificate_files.ts";

test("a CA whose trust settings exclude the use is not used, with a warning", (t) => {
  const directory = makeDirectory(t);
  const pem = makePem(directory, "restricted");
  const other = sectionOf(makePem(directory, "other"), "CERTIFICATE");
  const cases: readonly [settings: string[], clients: boolean, servers: boolean][] = [
    [["-trustout"], true, true],
    [["-addtrust", "clientAuth"], true, false],
    [["-addtrust", "serverAuth", "-addtrust", "clientAuth"], true, true],
    [["-addtrust", "anyExtendedKeyUsage"], true, true],
    [["-addtrust", "emailProtection"], false, false],
    [["-addreject", "clientAuth"], false, true],
    [["-addreject", "anyExtendedKeyUsage"], false, false],
    [["-addtrust", "clientAuth", "-addreject", "clientAuth"], false, false],
    [["-setalias", "a name", "-addreject", "emailProtection"], true, true],
  ];
  for (const [settings, ...expected] of cases) {
    const trusted = openssl(["x509", "-in", pem, ...settings]);
    assert.match(trusted, /BEGIN TRUSTED CERTIFICATE/);
    const file = join(directory, "cas.pem");
    for (const [index, use] of (["clients", "servers"] as const).entries()) {
      writeFileSync(file, trusted + other);
      const { pem: used, warnings } = readAuthorities(file, "--client-verify-ca", use);
      const name = `${settings.join(" ")}: ${use}`;
      assert.equal(used.split("BEGIN").length - 1, expected[index] ? 2 : 1, name);
      assert.equal(warnings.length, expected[index] ? 0 : 1, name);
      if (expected[index]) continue;
      assert.match(warnings[0]!, /cas\.pem: line 1: the trust settings of the CA "CN=restricted" /);
      writeFileSync(file, trusted);
      assert.throws(
        () => readAuthorities(file, "--client-verify-ca", use),
        /--client-verify-ca: .*cas\.pem: line 1: .* -clrtrust$/,
      );
    }
  }
});
