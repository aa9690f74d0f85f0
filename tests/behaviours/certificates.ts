/** The forms in which operators keep certificates and keys. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { refuses } from "../support/capability.ts";
import { exchange } from "../support/client.ts";
import { run } from "../support/commands.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { endpointText, freeEndpoint } from "../support/endpoints.ts";
import { runStud } from "../support/stud.ts";

const ONLY_12 = { maxVersion: "TLSv1.2" } as const;

export const certificates: readonly Behaviour[] = [
  ...[
    { order: "certificate, key", parts: ["a.crt", "a.key"] },
    { order: "key, certificate, chain", parts: ["chained.key", "chained.crt", "between.crt"] },
    { order: "certificate, key, chain", parts: ["chained.crt", "chained.key", "between.crt"] },
  ].map(({ order, parts }): Behaviour => ({
    name: `a bundle ordered ${order}`,
    async run(context) {
      const file = join(made(context, "bundle"), "site.pem");
      const texts = parts.map((part) => section(context, part).replaceAll("\n", "\r\n"));
      writeFileSync(file, `some words before\r\n${texts.join("and between\r\n")}`);
      const stud = await context.stud([file], { backend: (await context.echo()).port });
      const subject = (await context.tls(stud.frontend)).getPeerCertificate().subject.CN;
      assert.equal(subject, parts[0]!.split(".")[0]);
    },
  })),
  ...[
    { kind: "RSA, PKCS#1", words: ["rsa", "-traditional", "-in", "rsa.key"], of: "rsa" },
    { kind: "ECDSA, SEC1", words: ["ec", "-in", "a.key"], of: "a" },
  ].map(({ kind, words, of }): Behaviour => ({
    name: `a key in the format ${kind}`,
    async run(context) {
      const { directory } = context.certificates;
      const key = execFileSync("openssl", words, { cwd: directory, stdio: "pipe" });
      const file = join(made(context, "form"), "site.pem");
      writeFileSync(file, `${key}${section(context, `${of}.crt`)}`);
      const stud = await context.stud([file], { backend: (await context.echo()).port });
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
    },
  })),
  {
    name: "an Ed25519 certificate",
    async run(context) {
      const directory = made(context, "ed25519");
      const [key, cert] = [join(directory, "key"), join(directory, "crt")];
      const words = ["-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=ed25519"];
      execFileSync("openssl", ["req", "-x509", "-newkey", "ed25519", ...words], { stdio: "pipe" });
      const file = join(directory, "site.pem");
      writeFileSync(file, `${readFileSync(key)}${readFileSync(cert)}`);
      const stud = await context.stud([file], { backend: (await context.echo()).port });
      const where = ["-connect", endpointText(stud.frontend), "-sigalgs", "ed25519"];
      const { stdout } = await run("openssl", ["s_client", ...where]);
      assert.match(stdout, /Peer signature type: Ed25519/i);
    },
  },
  {
    name: "a key in a file of its own",
    async run(context) {
      const { directory } = context.certificates;
      const file = join(made(context, "separate"), "stud.conf");
      const pem = `cert = "${directory}/a.crt" private-key = "${directory}/a.key"`;
      writeFileSync(file, `pem-file = { ${pem} }\n`);
      const stud = await withFile(context, file);
      assert.equal((await context.tls(stud.frontend)).getPeerCertificate().subject.CN, "a");
    },
  },
  ...["-aes256", "-traditional"].map((form): Behaviour => ({
    name: `an encrypted key (${form.slice(1)}) is decrypted with --passphrase-file`,
    async run(context) {
      const { file, passphrases } = encrypted(context, form);
      const words = [`--passphrase-file=${passphrases}`, file];
      const stud = await context.stud(words, { backend: (await context.echo()).port });
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
    },
  })),
  {
    name: "an encrypted key without a terminal says what to do",
    async run(context) {
      const { file } = encrypted(context, "-aes256");
      const command = ["setsid", "--wait", ...context.target.command];
      const { code, stderr } = await runStud({ ...context.target, command }, [file]);
      assert.equal(code, 1);
      assert.match(stderr, /^stud: [^\n]*--passphrase-file[^\n]*\n$/);
      assert.ok(stderr.includes(file));
    },
  },
  {
    name: "RSA and ECDSA certificates for one name: the client's algorithms decide",
    async run(context) {
      const { rsa, localhost } = context.certificates;
      const stud = await context.stud([rsa, localhost], { backend: (await context.echo()).port });
      const served = async (sigalgs: string) => {
        const client = await context.tls(stud.frontend, { sigalgs, ...ONLY_12 });
        return client.getPeerCertificate().subject.CN;
      };
      if (!context.target.dualCertificates) {
        const client = await context.tls(stud.frontend);
        assert.equal(client.getPeerCertificate().subject.CN, "rsa", "the first listed serves");
        return;
      }
      assert.equal(await served("ECDSA+SHA256"), "localhost");
      assert.equal(await served("RSA-PSS+SHA256:RSA+SHA256"), "rsa");
    },
  },
  ...["DH", "X9.42 DH"].map((form): Behaviour => ({
    name: `${form} PARAMETERS in the bundle enable DHE ciphers, or a warning says that they have ` +
      "no effect",
    async run(context) {
      const file = join(made(context, "dh"), "site.pem");
      const parameters = form === "DH" ? DH_PARAMETERS : x942Parameters();
      writeFileSync(file, `${readFileSync(context.certificates.rsa)}${parameters}`);
      const stud = await context.stud([file], { backend: (await context.echo()).port });
      if (!context.target.dhParameters) {
        const warning = await stud.waitForLog(
          ({ event, message }) => event === "warning" && /DH parameters/.test(message),
          "the warning",
        );
        assert.ok(warning.message.includes(file), warning.message);
        return;
      }
      const ciphers = "DHE-RSA-AES128-GCM-SHA256";
      const client = await context.tls(stud.frontend, { ciphers, ...ONLY_12 });
      assert.equal(client.getCipher().name, ciphers);
    },
  })),
  {
    name: "--pem-dir loads the files that match, and follows symbolic links",
    async run(context) {
      const { a, b, localhost } = context.certificates;
      const directory = made(context, "dir");
      symlinkSync(a, join(directory, "1.pem"));
      writeFileSync(join(directory, "2.pem"), readFileSync(b));
      writeFileSync(join(directory, "notes.txt"), "roses are red\n");
      mkdirSync(join(directory, "sub.pem"));
      const words = [`--pem-dir=${directory}`, "--pem-dir-glob=*.pem", localhost];
      const stud = await context.stud(words, { backend: (await context.echo()).port });
      const names = { "a.example": "a", "b.example": "b", "other.example": "localhost" };
      for (const [servername, subject] of Object.entries(names)) {
        const client = await context.tls(stud.frontend, { servername });
        assert.equal(client.getPeerCertificate().subject.CN, subject);
      }
    },
  },
  {
    name: "a wildcard certificate matches one label, and an exact name takes precedence",
    async run(context) {
      const wildcard = signed(context, "wild", "DNS:*.example");
      const words = [wildcard, context.certificates.a, context.certificates.localhost];
      const stud = await context.stud(words, { backend: (await context.echo()).port });
      const names = {
        "b.example": "wild",
        "B.Example": "wild",
        "a.example": "a",
        "x.b.example": "localhost",
        "example": "localhost",
      };
      for (const [servername, subject] of Object.entries(names)) {
        const client = await context.tls(stud.frontend, { servername });
        assert.equal(client.getPeerCertificate().subject.CN, subject, servername);
      }
    },
  },
  {
    name: "--ssl-engine with an engine that does not exist is refused",
    async run(context) {
      const words = ["--ssl-engine=no-such-engine"];
      if (!context.target.engines) return await refuses(context, "engines", words);
      const { code, stderr } = await runStud(context.target, [
        ...words,
        context.certificates.localhost,
      ]);
      assert.equal(code, 1);
      assert.match(stderr, /^stud: --ssl-engine[^\n]*\n$/);
    },
  },
];

function made(context: Context, name: string): string {
  return mkdtempSync(join(context.certificates.directory, `${name}-`));
}

function section(context: Context, name: string): string {
  return readFileSync(join(context.certificates.directory, name), "utf8");
}

function encrypted(context: Context, form: string) {
  const directory = made(context, "encrypted");
  const { a } = context.certificates;
  const type = form === "-aes256" ? ["pkcs8", "-topk8", "-v2", "aes-256-cbc"] : ["ec", "-aes256"];
  const words = [...type, "-in", a, "-passout", "pass:open sesame"];
  const key = execFileSync("openssl", words, { stdio: "pipe" });
  const file = join(directory, "site.pem");
  writeFileSync(file, `${key}${section(context, "a.crt")}`);
  const passphrases = join(directory, "passphrases");
  writeFileSync(passphrases, "not this one\nopen sesame\n");
  return { file, passphrases };
}

/** Issues a certificate by the test CA; returns its PEM file. */
function signed(context: Context, name: string, names: string): string {
  const { directory, ca } = context.certificates;
  const [key, cert] = [join(directory, `${name}.key`), join(directory, `${name}.crt`)];
  const issuer = ["-CA", ca, "-CAkey", ca.replace(/crt$/, "key")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const files = ["-keyout", key, "-out", cert, "-config", join(directory, "openssl.cnf")];
  const subject = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=${names}`];
  const words = ["req", "-x509", ...issuer, ...curve, ...files, ...subject];
  execFileSync("openssl", words, { stdio: "pipe" });
  const file = join(directory, `${name}.pem`);
  writeFileSync(file, `${readFileSync(key)}${readFileSync(cert)}`);
  return file;
}

async function withFile(context: Context, file: string) {
  const backend = (await context.echo()).port;
  const frontend = await freeEndpoint();
  const addresses = [
    `--frontend=${frontend.host},${frontend.port}`,
    `--backend=127.0.0.1,${backend}`,
  ];
  const all = [`--config=${file}`, ...addresses, "-n", "1", "--log-format=json"];
  const stud = await context.launch(all, { backend, frontend, exact: true });
  await stud.waitForLog((line) => line.event === "ready", "stud is ready");
  return stud;
}

/**
 * In the form that `openssl dhparam -dsaparam 2048` writes, which takes too long for a test: its q
 * has 224 bits, so that OpenSSL just accepts it.
 */
function x942Parameters(): string {
  const group = ["-algorithm", "DHX", "-pkeyopt", "group:dh_2048_224"];
  return execFileSync("openssl", ["genpkey", "-genparam", ...group], { encoding: "utf8" });
}

/** Made with `openssl dhparam 2048`, which takes too long for a test. */
const DH_PARAMETERS = `
-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEAvjHUdpKhWmQYUiksWUKDfNgMtUlmw/q5OCNTL3jRCpgv9Sjlq5ag
jArwESuOfaLyyEvfGk5LS3cLLiDyncSjsfL3FA4C2dmYGsyVVEBRGoVk4CNQQ0Ne
7Q6VJ2fnx0atKmEi7sykFcM/zBjEkIo9zg/OhJ6ixnZojGnATrqElOhkRzsmuN7o
59MbXDN5qFpjUgy3hf9qbXuRfvmMIdGeHLBjmT6M1oz4B+1M2MNhpsdaKKg+2G5y
fveACAdgfvu39Ji9WXOPYd2eZdnEfkMD0m6FnHJfxTPUQyG+bRxKBymwgw5/5aw3
LL3t+c1o8I/Nl3Ib7KGImIxXjUSE/Y+tjwIBAg==
-----END DH PARAMETERS-----
`;
