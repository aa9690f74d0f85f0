/** Files of certificates, keys, CAs and CRLs as `cat`, editors and other programs leave them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { exchange } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import { runStud, type Stud } from "../support/stud.ts";

const BOM = "\ufeff";
/** As in `cat` of files without a final newline. */
const glued = (...sections: readonly string[]) => sections.map((each) => each.trimEnd()).join("");

export const certificateFiles: readonly Behaviour[] = [
  {
    name: "certificates, chains and keys are served as cat, editors and openssl leave them",
    async run(context) {
      const { directory, write, cert, chain, key } = files(context);
      const rsa = { cert: read(context, "rsa.crt"), key: read(context, "rsa.key") };
      const openssl = (...words: string[]) =>
        String(execFileSync("openssl", words, { stdio: "pipe" }));
      const sec1 = openssl("ec", "-in", join(directory, "chained.key"));
      const pkcs1 = openssl("rsa", "-traditional", "-in", join(directory, "rsa.key"));
      const encrypted = (...words: string[]) =>
        openssl(...words, "-in", join(directory, "chained.key"), "-passout", "pass:open sesame");
      const all = `${cert}${chain}${key}`;
      const withChain = {
        glued: glued(cert, chain, key),
        "glued, key first": glued(key, cert, chain),
        "byte order marks": BOM + cert + BOM + chain + BOM + key,
        CR: all.replaceAll("\n", "\r"),
        indented: all.replaceAll(/^/gm, "  "),
        "trailing blanks": all.replaceAll("\n", " \t\n"),
        "odd line lengths": all.replaceAll(/(?<=^[^-].{4})/gm, "\n"),
        "EC PARAMETERS": openssl("ecparam", "-name", "prime256v1") + sec1 + cert + chain,
        "PKCS#8 as EC": key.replaceAll(" PRIVATE", " EC PRIVATE") + cert + chain,
        "SEC1 as PKCS#8": sec1.replaceAll("EC PRIVATE", "PRIVATE") + cert + chain,
        "X509 CERTIFICATE": all.replaceAll(" CERTIFICATE", " X509 CERTIFICATE"),
        scrypt: encrypted("pkcs8", "-topk8", "-scrypt") + cert + chain,
        "HMAC-SHA512": encrypted("pkcs8", "-topk8", "-v2prf", "hmacWithSHA512") + cert + chain,
        "HMAC-SHA1": encrypted("pkcs8", "-topk8", "-v2prf", "hmacWithSHA1") + cert + chain,
        "PBES2 with 3DES": encrypted("pkcs8", "-topk8", "-v2", "des3") + cert + chain,
        "DEK-Info with 3DES": encrypted("ec", "-des3") + cert + chain,
      };
      const ofRsa = {
        "PKCS#8 as RSA": rsa.key.replaceAll(" PRIVATE", " RSA PRIVATE") + rsa.cert,
        "PKCS#1 as PKCS#8": pkcs1.replaceAll("RSA PRIVATE", "PRIVATE") + rsa.cert,
      };
      const passphrases = write("passphrases", "open sesame\n");
      const frontends: string[] = [];
      const served: [string, Awaited<ReturnType<typeof freeEndpoint>>, number][] = [];
      for (const [what, text] of Object.entries({ ...withChain, ...ofRsa })) {
        const endpoint = await freeEndpoint();
        const pem = write(`${what}.pem`, text);
        frontends.push(
          `frontend = { host = "${endpoint.host}" port = "${endpoint.port}" pem-file = "${pem}" }`,
        );
        served.push([what, endpoint, what in withChain ? 2 : 1]);
      }
      const config = write("stud.conf", `${frontends.join("\n")}\nworkers = 1\n`);
      const backend = (await context.echo()).port;
      const words = [`--config=${config}`, `--passphrase-file=${passphrases}`];
      const more = [`--backend=127.0.0.1,${backend}`, "--log-format=json"];
      const [, first] = served[0]!;
      const stud = await context.launch([...words, ...more], {
        backend,
        frontend: first,
        exact: true,
      });
      await stud.waitForLog(({ event }) => event === "ready", "stud is ready");
      for (const [what, endpoint, length] of served) {
        const client = await context.tls(endpoint);
        const own = client.getPeerCertificate(true);
        assert.equal(own.subject.CN, length === 2 ? "chained" : "rsa", what);
        if (length === 2) assert.equal(own.issuerCertificate.subject.CN, "between", what);
      }
      assert.deepEqual(warningsOf(stud), []);
    },
  },
  {
    name:
      "what is wrong with files of certificates is named with file, line and remedy, all at once",
    async run(context) {
      const { directory, write, cert, chain, key } = files(context);
      const out = (name: string, ...words: string[]) => {
        const path = join(directory, name);
        execFileSync("openssl", [...words, "-out", path], { stdio: "pipe" });
        return path;
      };
      const pem = join(directory, "chained.pem");
      const end = `${cert}${key}`.split("\n").length;
      const live = join(directory, "live");
      mkdirSync(live, { recursive: true });
      for (const name of ["cert", "chain", "fullchain", "privkey"]) {
        writeFileSync(join(live, `${name}.pem`), name === "privkey" ? key : cert + chain);
      }
      writeFileSync(join(live, "README"), "This directory contains your keys.\n");
      const legacy = ["-provider", "legacy", "-provider", "default"];
      const pbes1 = ["pkcs8", "-topk8", "-v1", "PBE-MD5-DES", ...legacy, "-in", pem];
      const oldKey = readFileSync(out("old.key", ...pbes1, "-passout", "pass:x"), "utf8");
      const broken: [string, string][] = [
        [
          write("1.pem", cert + key + chain.slice(0, -10)),
          `line ${end}: the CERTIFICATE section has no`,
        ],
        [
          write("2.pem", `${cert.slice(0, 200)}\n${cert}${key}`),
          "line 1: the CERTIFICATE section has",
        ],
        [write("3.pem", `${key}${cert.replace("\n", "\n*")}`), "line 7: it is not base64, as a"],
        [write("4.pem", Buffer.from(BOM + cert + key, "utf16le")), "it is UTF-16 text; convert it"],
        [write("5.pem", cert), "no private key in it; it has only certificates; append the key's"],
        [
          write("6.pem", key),
          "no certificate in it; it has only a private key; specify a PEM file",
        ],
        [write("7.pem", cert + oldKey), "this build cannot decrypt the private key, which is "],
        [
          out("8.der", "x509", "-in", pem, "-outform", "der"),
          "no certificate in it; it is a certi",
        ],
        [
          out("9.p12", "pkcs12", "-export", "-in", pem, "-passout", "pass:x"),
          "no certificate in it; it is a PKCS#12 archive; convert it with: openssl pkcs12 -in ",
        ],
        [live, "it is a directory; write into the configuration file: pem-file = { cert = "],
      ];
      const { host, port } = await freeEndpoint();
      const words = [`--frontend=${host},${port}`, `--pem-dir=${live}`];
      const all = [...words, "--test", ...broken.map(([file]) => file)];
      const { code, stderr } = await runStud(context.target, all);
      assert.equal(code, 1);
      for (const [file, what] of broken) {
        assert.ok(stderr.includes(`${file}: ${what}`), `${file}: ${what}\n${stderr}`);
      }
      assert.match(stderr, /--pem-dir: \S+: certificate and key are in files of their own; write /);
      assert.ok(!stderr.includes(key.split("\n")[1]!));
    },
  },
  {
    name: "what files of certificates have and stud does not use is a warning",
    async run(context) {
      const { write, cert, chain, key } = files(context);
      const pem = write("site.pem", `${cert}${key}${chain.replace("-----BEGIN", "----BEGIN")}`);
      chmodSync(pem, 0o644);
      const stud = await context.stud([pem], { backend: (await context.echo()).port });
      await warns(
        stud,
        /site\.pem: line \d+ looks like a part of a PEM section, but belongs/,
        /site\.pem: other users can read the private key; restrict it with/,
      );
    },
  },
  {
    name: "files of CAs and CRLs are read as cat and editors leave them, and the rest is a warning",
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const { write, key, stranger, crlOf } = files(context);
      const { directory } = context.certificates;
      const both = glued(stranger.cert, BOM + read(context, "ca.crt"), key, "words");
      const lists = glued(crlOf("stranger"), BOM + crlOf("ca"), read(context, "a.crt"));
      const words = [
        "--client-verify=required",
        `--client-verify-ca=${write("cas", both)}`,
        `--client-verify-crl=${write("crls", lists)}`,
      ];
      const stud = await context.stud(words, { backend: (await context.echo()).port });
      await warns(
        stud,
        /\/cas: not used here: PRIVATE KEY \(line \d+\);/,
        /\/crls: not used here: CERTIFICATE \(line \d+\);/,
      );
      const client = (name: string) => ({
        cert: readFileSync(join(directory, `${name}.crt`)),
        key: readFileSync(join(directory, `${name}.key`)),
      });
      for (const each of [client("a"), stranger]) {
        assert.equal(String(await exchange(stud.frontend, "hello", each)), "hello");
      }
    },
  },
];

/** Waits until stud has logged these warnings, and checks that there are no others. */
async function warns(stud: Stud, ...patterns: readonly RegExp[]): Promise<void> {
  const matches = (message: string) => patterns.some((pattern) => pattern.test(message));
  for (const pattern of patterns) {
    await stud.waitForLog(({ message }) => pattern.test(message), String(pattern));
  }
  assert.deepEqual(warningsOf(stud).filter((message) => !matches(message)), []);
}

/** Apart from what the tests themselves cause. */
function warningsOf({ logs }: Stud): string[] {
  return logs.filter(({ event }) => event === "warning").map(({ message }) => message)
    .filter((message) => !/run as root/.test(message));
}

function read(context: Context, name: string): string {
  return readFileSync(join(context.certificates.directory, name), "utf8");
}

/** A directory with the parts of a chained certificate, and what makes other files there. */
function files(context: Context) {
  const { directory: shared } = context.certificates;
  const directory = mkdtempSync(join(shared, "files-"));
  const write = (name: string, text: string | Buffer) => {
    const path = join(directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  for (const name of ["chained.pem", "chained.key", "rsa.key"]) write(name, read(context, name));
  const [cert, chain, key] = ["chained.crt", "between.crt", "chained.key"].map((name) =>
    read(context, name)
  ) as [string, string, string];
  const strangerFiles = [join(directory, "stranger.key"), join(directory, "stranger.crt")] as const;
  const config = join(shared, "openssl.cnf");
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const words = ["-subj", "/CN=stranger", "-config", config, "-days", "60"];
  const isCa = ["-addext", "basicConstraints=critical,CA:TRUE"];
  const outputs = ["-keyout", strangerFiles[0], "-out", strangerFiles[1]];
  execFileSync("openssl", ["req", "-x509", ...newKey, ...words, ...isCa, ...outputs], {
    stdio: "pipe",
  });
  const stranger = {
    key: readFileSync(strangerFiles[0], "utf8"),
    cert: readFileSync(strangerFiles[1], "utf8"),
  };
  const crlOf = (name: "ca" | "stranger") => {
    const database = write(`${name}.database`, "");
    const settings = `[ca]\ndefault_ca=x\n[x]\ndatabase=${database}\ndefault_md=sha256\n`;
    const own = name === "ca" ? shared : directory;
    const signer = ["-keyfile", join(own, `${name}.key`), "-cert", join(own, `${name}.crt`)];
    const all = ["-config", write(`${name}.cnf`, settings), ...signer, "-crldays", "1"];
    return String(execFileSync("openssl", ["ca", "-gencrl", ...all], { stdio: "pipe" }));
  };
  return { directory, write, cert, chain, key, stranger, crlOf };
}
