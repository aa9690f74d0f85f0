/** Certificates that clients refuse: too weak ones, and ones that must be stapled. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Behaviour, Context } from "../support/context.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import { runStud } from "../support/stud.ts";

export const certificateDemands: readonly Behaviour[] = [
  {
    name: "weak keys and signatures are refused in the same words on each build",
    async run(context) {
      const cases: [words: readonly string[], isSigned: boolean, text: RegExp][] = [
        [
          ["rsa:1024"],
          false,
          /its certificate has an RSA key of 1024 bits, which is less than 2048;/,
        ],
        [
          ["rsa:512"],
          false,
          /its certificate has an RSA key of 512 bits, which is less than 2048;/,
        ],
        [curve("prime192v1"), false, /its certificate has a key of 192 bits on an elliptic curve,/],
        [[...curve("prime256v1"), "-sha1"], true, /its certificate is signed with SHA-1;/],
      ];
      for (const [words, isSigned, text] of cases) {
        const { code, stderr } = await check(context, [make(context, words, isSigned)]);
        assert.equal(code, 1, stderr);
        assert.match(stderr, new RegExp(`^stud: /[^\\n]*${text.source}[^\\n]*\\n$`));
      }
      const chained = make(context, curve("prime256v1"), false);
      const issuer = readFileSync(make(context, ["rsa:1024"], false), "utf8");
      const certificate = /-----BEGIN CERTIFICATE-----[^]*/.exec(issuer)![0];
      writeFileSync(chained, readFileSync(chained, "utf8") + certificate);
      const { code, stderr } = await check(context, [chained]);
      assert.equal(code, 1);
      assert.match(
        stderr,
        /^stud: [^\n]*a certificate of its chain has an RSA key of 1024 bits[^\n]*\n$/,
      );
    },
  },
  {
    name: "a key on a curve that only OpenSSL has is refused with the name of its build",
    async run(context) {
      for (const name of ["brainpoolP256r1", "secp256k1", "secp224r1"]) {
        const { code, stderr } = await check(context, [make(context, curve(name), false)]);
        if (context.target.runtime === "node") {
          assert.equal(code, 0, stderr);
        } else {
          assert.equal(code, 1);
          assert.match(stderr, new RegExp(`^stud: /[^\\n]* ${name},[^\\n]*Node build[^\\n]*\\n$`));
        }
      }
    },
  },
  {
    name: "clients of a weak CA are not trusted, and its file is named",
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const { ca, localhost } = context.certificates;
      const weak = make(context, ["rsa:1024"], false);
      const both = join(mkdtempSync(join(context.certificates.directory, "cas-")), "cas.crt");
      writeFileSync(both, readFileSync(weak, "utf8") + readFileSync(ca, "utf8"));
      const verify = (file: string) => ["--client-verify=required", `--client-verify-ca=${file}`];
      const found = await check(context, [...verify(both), localhost]);
      assert.equal(found.code, 0, found.stderr);
      assert.match(found.stderr, /cas\.crt: the CA "CN=site" has an RSA key of 1024 bits/);
      const { code, stderr } = await check(context, [...verify(weak), localhost]);
      assert.equal(code, 1);
      assert.match(stderr, /^stud: --client-verify-ca: [^\n]*1024 bits[^\n]*\n$/);
    },
  },
  {
    name: "a must-staple certificate is refused where nothing can be stapled, in both dialects",
    async run(context) {
      const mustStaple = [...curve("prime256v1"), "-addext", "tlsfeature=status_request"];
      const pem = make(context, mustStaple, false);
      // hitch's own directory may exist.
      const nowhere = context.target.staples ? ["--ocsp-dir="] : [];
      for (const dialect of ["stud", "hitch"]) {
        const words = [`--compat=${dialect}`, "--user=nobody", ...nowhere, pem];
        const { code, stderr } = await check(context, words);
        const lines = stderr.split("\n").filter((line) => line.includes("must-staple"));
        assert.equal(lines.length, 1, stderr);
        assert.ok(lines[0]!.includes(pem));
        assert.match(lines[0]!, context.target.staples ? /--ocsp-dir/ : /Node build/);
        assert.equal(code, context.target.staples ? 0 : 1);
      }
    },
  },
];

function check(context: Context, words: readonly string[]) {
  return freeEndpoint().then(({ host, port }) =>
    runStud(context.target, ["--test", `--frontend=[${host}]:${port}`, ...words])
  ).then(({ code, stderr }) => ({
    code,
    // Said of every configuration that root tests.
    stderr: stderr.split("\n").filter((line) => !/run as root/.test(line)).join("\n"),
  }));
}

function curve(name: string): readonly string[] {
  return ["ec", "-pkeyopt", `ec_paramgen_curve:${name}`];
}

/** Makes a PEM file with a certificate for a new key, signed by itself or by the tests' CA. */
function make(context: Context, newKey: readonly string[], isSigned: boolean): string {
  const { ca, directory } = context.certificates;
  const file = join(mkdtempSync(join(directory, "demand-")), "site.pem");
  const signer = isSigned ? ["-CA", ca, "-CAkey", ca.replace(/crt$/, "key")] : [];
  const subject = ["-nodes", "-days", "60", "-subj", "/CN=site"];
  const output = ["-keyout", `${file}.key`, "-out", `${file}.crt`];
  const words = ["req", "-x509", "-newkey", ...newKey, ...subject, ...output, ...signer];
  execFileSync("openssl", words, { stdio: "pipe" });
  writeFileSync(file, readFileSync(`${file}.key`, "utf8") + readFileSync(`${file}.crt`, "utf8"));
  return file;
}
