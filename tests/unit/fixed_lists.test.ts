/** Which lists a build accepts that cannot choose; the fixed lists are those of rustls. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { COMMON_SUITES } from "../../src/runtime/cipher_list.ts";
import { deno, everything, problemsOf, start } from "../support/parse.ts";

const bun = {
  name: "bun",
  capabilities: { ...everything, ciphersuites: false, offers: { ciphersuites: COMMON_SUITES } },
} as const;

const HITCH = "EECDH+AESGCM:EDH+AESGCM:AES256+EECDH:AES256+EDH";
const INTERMEDIATE = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" +
  "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:" +
  "ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384";

test("a cipher list that excludes nothing that is offered is accepted with one warning", () => {
  const lists = [
    HITCH,
    INTERMEDIATE,
    `${INTERMEDIATE}:DES-CBC3-SHA:!DSS`,
    "HIGH:!aNULL:!MD5",
    "DEFAULT@SECLEVEL=1",
    "ALL:!RC4:@STRENGTH",
    "PROFILE=SYSTEM",
    "ECDHE+AESGCM:ECDHE+CHACHA20:!kRSA",
    "ECDHE-RSA-AES128-GCM-SHA256, ECDHE-RSA-AES256-GCM-SHA384",
    "HIGH:-AESGCM:ECDHE",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
  ];
  for (const list of lists) {
    const { warnings } = start([`--ciphers=${list}`], { build: deno });
    assert.match(warnings.join("\n"), /^--ciphers: .*this build always offers [^\n]+$/, list);
  }
  const [beside] = start([`--ciphers=${HITCH}`], { build: deno }).warnings;
  assert.match(beside!, /^--ciphers: passed over EDH\+AESGCM, AES256\+EDH; /);
  assert.match(beside!, /not in the list: .*ECDHE-RSA-CHACHA20-POLY1305$/);
  const [mistake] = start(["--ciphers=HIGH:!aNULL:!FOO"], { build: deno }).warnings;
  assert.match(mistake!, /^--ciphers: passed over !FOO; /);
  assert.doesNotMatch(
    start([`--ciphers=${INTERMEDIATE}`], { build: deno }).warnings.join(),
    /not in the list/,
  );
});

test("a cipher list that excludes something is refused", () => {
  const lists = [
    "AES256",
    "HIGH:!AES128",
    "HIGH:!CHACHA20",
    "HIGH:-ECDSA",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "kRSA",
    "DHE+AESGCM",
    "NO-SUCH-CIPHER",
    "!ALL:HIGH",
    "AESGCM:!",
    "RC4-SHA",
    "HIGH:@SECLEVEL=3",
  ];
  for (const list of lists) {
    const problems = problemsOf([`--ciphers=${list}`, "a.pem"], { build: deno });
    assert.match(problems.join("\n"), /^--ciphers is not supported by the Deno [^\n]+$/, list);
  }
});

test("a list of suites is accepted if it has all that are offered", () => {
  const all = COMMON_SUITES.toReversed().join(":");
  for (const build of [bun, deno]) {
    for (const list of [all, `${all}:TLS_AES_128_CCM_SHA256`]) {
      const { warnings } = start([`--ciphersuites=${list}`], { build });
      assert.match(warnings.join("\n"), /^--ciphersuites: this build always offers [^\n]+$/);
    }
    const some = COMMON_SUITES.slice(1).join(":");
    assert.match(
      problemsOf([`--ciphersuites=${some}`, "a.pem"], { build }).join(),
      /^--ciphersuites is not supported .+ use the Node build$/,
    );
  }
});

test("a list of groups is accepted if it has the least that are offered, under any name", () => {
  const accepted = [
    "X25519MLKEM768:X25519:P-256:P-384",
    "x25519:prime256v1:secp384r1:secp521r1",
    "X25519:prime256v1",
    "?X25519MLKEM768:*X25519/secp256r1:P-384",
  ];
  for (const list of accepted) {
    const { warnings } = start([`--ecdh-curve=${list}`], { build: deno });
    assert.match(warnings.join("\n"), /^--ecdh-curve: this build always offers [^\n]+$/, list);
  }
  for (const list of ["X25519", "P-256:P-384", "X25519:P-256:P-384:-P-256"]) {
    const problems = problemsOf([`--ecdh-curve=${list}`, "a.pem"], { build: deno });
    assert.match(problems.join(), /^--ecdh-curve is not supported by the Deno build/, list);
  }
});

test("the server's order is a matter of cost, so it is not refused", () => {
  const { warnings } = start(["--prefer-server-ciphers"], { build: deno });
  assert.match(warnings.join("\n"), /^--prefer-server-ciphers: this build always [^\n]+$/);
});

test("an engine that only accelerates is not needed, one that may hold keys is", () => {
  for (const name of ["auto", "aesni", "rdrand"]) {
    const { warnings } = start([`--ssl-engine=${name}`], { build: deno });
    assert.match(warnings.join("\n"), /^--ssl-engine: this build has no engines[^\n]+$/);
  }
  const problems = problemsOf(["--ssl-engine=pkcs11", "a.pem"], { build: deno });
  assert.match(problems.join(), /^--ssl-engine is not supported .+ use the Node build$/);
});
