import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import * as runtime from "#runtime";
import { Passphrases } from "../../src/certificates/passphrases.ts";
import { readMaterial } from "../../src/certificates/store.ts";
import { Certificates, type LoadedTls } from "../../src/certificates/certificates.ts";
import type { Config } from "../../src/options/config.ts";
import {
  configuration,
  dhSection,
  frontend,
  makeDirectory,
  makePem,
  openssl,
  pemFile,
  sectionOf,
} from "../support/certificate_files.ts";

const able = { dhParameters: true, dualCertificates: true, staples: true };

/** Deno changes the mode of a file that it appends to. */
const OWNER_ONLY = { mode: 0o600 };

function load(more: Partial<Config>, what = able): LoadedTls {
  return new Certificates(runtime.libc, new Passphrases()).load(configuration(more), what);
}

/** The file names of certificates at these places. */
function filesAt({ sources }: LoadedTls, places: readonly number[]): string[] {
  return places.map((place) => sources[place]!.file.cert.split("/").at(-1)!);
}

test("frontends have their own and the global certificates, each stored once", (t) => {
  const directory = makeDirectory(t);
  const [a, b, c] = ["a", "b", "c"].map((name) => pemFile(makePem(directory, name)));
  const loaded = load({
    alpn: ["h2"],
    pemFiles: [a!, b!],
    frontends: [
      frontend(1),
      frontend(2, { pemFiles: [c!, a!], sniNomatchAbort: true }),
      frontend(3, { pemFiles: [c!], matchGlobalCerts: false }),
    ],
  });
  assert.deepEqual(loaded.problems, []);
  assert.deepEqual(loaded.warnings, []);
  const { certificates, frontends, trusts, alpn } = loaded.tls;
  assert.deepEqual(alpn, ["h2"]);
  assert.deepEqual(trusts, [{ mode: "none", ca: "", crl: "" }]);
  assert.deepEqual(filesAt(loaded, [0, 1, 2]), ["a.pem", "b.pem", "c.pem"]);
  assert.deepEqual(frontends.map(({ own, global }) => [own, global]), [
    [[], [0, 1]],
    [[2, 0], [0, 1]],
    [[2], []],
  ]);
  assert.deepEqual(frontends.map((each) => each.sniNomatchAbort), [false, true, false]);
  assert.deepEqual(frontends[0]!.protocols, ["TLSv1.2", "TLSv1.3"]);
  for (const [place, certificate] of certificates.entries()) {
    const path = loaded.sources[place]!.file.cert;
    const { chain, key } = readMaterial(runtime.libc, loaded.storeFd, certificate);
    assert.equal(key + chain, readFileSync(path, "utf8"));
    assert.equal(loaded.sources[place]!.chain(), chain);
    assert.deepEqual(certificate.names, [path.split("/").at(-1)!.replace(".pem", "")]);
  }
});

test("files of a directory precede the listed ones, in byte order", (t) => {
  const directory = makeDirectory(t);
  const pems = join(directory, "pems");
  mkdirSync(join(pems, "directory.pem"), { recursive: true });
  for (const name of ["b", "a", "Z", "ä"]) makePem(pems, name);
  symlinkSync(makePem(directory, "elsewhere"), join(pems, "link.pem"));
  writeFileSync(join(pems, "README"), "not a certificate");
  const listed = makePem(directory, "listed");
  const pemDirectory = { path: pems, glob: "*.pem" };
  const both = load({ pemDirectory, pemFiles: [pemFile(listed)] });
  assert.deepEqual(both.problems, []);
  const { global } = both.tls.frontends[0]!;
  const inDirectory = ["Z.pem", "a.pem", "b.pem", "link.pem", "ä.pem"];
  assert.deepEqual(filesAt(both, global), [...inDirectory, "listed.pem"]);

  // Without a listed one, the first of the directory is the default, which is the last.
  const alone = load({ pemDirectory });
  const rotated = [...inDirectory.slice(1), "Z.pem"];
  assert.deepEqual(filesAt(alone, alone.tls.frontends[0]!.global), rotated);

  symlinkSync(join(pems, "nothing"), join(pems, "x.pem"));
  const { problems } = load({ pemDirectory: { path: pems, glob: "" } });
  assert.equal(problems.length, 3, problems.join("\n"));
  assert.match(problems.join("\n"), /README: no certificate in it/);
  assert.match(problems.join("\n"), /openssl\.cnf: no certificate in it/);
  assert.match(problems.join("\n"), /x\.pem: it does not exist/);
});

test("a directory of certificates is distinguished from certbot's, and from one with other files", (t) => {
  const directory = makeDirectory(t);
  const both = makePem(directory, "x");
  const live = join(directory, "live");
  mkdirSync(live);
  const write = (name: string, text: string) => {
    writeFileSync(join(live, name), text);
    return join(live, name);
  };
  const cert = sectionOf(both, "CERTIFICATE");
  const fullchain = write("fullchain.pem", cert);
  const key = write("privkey.pem", sectionOf(both, "PRIVATE KEY"));
  const readme = write("README", "This directory contains your keys.\n");
  write("chain.pem", cert);
  const remedy = "write into the configuration file: " +
    `pem-file = { cert = "${fullchain}" private-key = "${key}" }`;
  const problemsOf = (more: Partial<Config>) =>
    load(more).problems.filter((line) => !/^No x509/.test(line));

  const pemDirectory = { path: `${live}/`, glob: "" };
  assert.deepEqual(problemsOf({ pemDirectory }), [
    `--pem-dir: ${live}/: certificate and key are in files of their own; ${remedy}`,
  ]);
  assert.deepEqual(problemsOf({ pemFiles: [pemFile(live)] }), [
    `PEM file ${live}: it is a directory; ${remedy}`,
  ]);
  assert.deepEqual(problemsOf({ pemFiles: [pemFile(fullchain), pemFile(key)] }), [
    `${fullchain}: no private key in it; it has only certificates; ${remedy}`,
    `${key}: no certificate in it; it has only a private key; ${remedy}`,
  ]);
  assert.deepEqual(problemsOf({ pemFiles: [pemFile(fullchain, { key })] }), []);
  const above = join(directory, "above");
  mkdirSync(above);
  symlinkSync(live, join(above, "x.example"));
  writeFileSync(join(above, "README"), "This directory contains links.\n");
  assert.deepEqual(problemsOf({ pemDirectory: { path: above, glob: "" } }), [
    `--pem-dir: ${above}: its certificates are in directories of their own; ` +
    remedy.replaceAll(live, join(above, "x.example")),
  ]);

  rmSync(key);
  const [ofChain = "", ofFullchain, ofReadme = "", ...others] = problemsOf({ pemDirectory });
  assert.equal(
    ofFullchain,
    `${fullchain}: no private key in it; it has only certificates; append the key's PEM section, ` +
      "as in: (umask 077; cat fullchain.pem privkey.pem > NEW.pem), or name the key's file in a block of the " +
      'configuration file: pem-file = { cert = "…" private-key = "…" }; or leave it out, as with ' +
      "--pem-dir-glob='*.pem'",
  );
  assert.ok(ofChain.startsWith(`${join(live, "chain.pem")}: no private key in it; `), ofChain);
  assert.deepEqual(others, []);
  assert.ok(ofReadme.startsWith(`${readme}: no certificate in it; it is a text without PEM `));
  assert.ok(ofReadme.endsWith("; or leave it out, as with --pem-dir-glob='*.pem'"), ofReadme);
});

test("keys and passphrases that other users can read are a warning", (t) => {
  const directory = makeDirectory(t);
  const [a, b, c] = ["a", "b", "c"].map((name) => makePem(directory, name)) as [
    string,
    string,
    string,
  ];
  const passphraseFile = join(directory, "passphrases");
  writeFileSync(passphraseFile, "x\n", { mode: 0o600 });
  const cert = join(directory, "cert.pem");
  writeFileSync(cert, sectionOf(c, "CERTIFICATE"));
  const pemFiles = [pemFile(a), pemFile(b), pemFile(cert, { key: c }), pemFile(a, { key: a })];
  const warningsFor = (mode: number) => {
    for (const file of [a, b, c, passphraseFile]) chmodSync(file, mode);
    const { problems, warnings } = load({ pemFiles, passphraseFile });
    assert.deepEqual(problems, []);
    return warnings.filter((line) => /other users/.test(line));
  };
  const all = [
    `--passphrase-file: ${passphraseFile}: other users can read it; restrict it with: chmod 600 ` +
    passphraseFile,
    `${a} and 2 more files: other users can read the private key; restrict it with: chmod 600 ${a}`,
  ];
  assert.deepEqual(warningsFor(0o644), all);
  assert.deepEqual(warningsFor(0o604), all);
  assert.deepEqual(warningsFor(0o660), all);
  assert.deepEqual(warningsFor(0o600), []);
  assert.deepEqual(warningsFor(0o400), []);
  // Only root can make a file of root readable for a group, such as Debian's ssl-cert.
  assert.deepEqual(warningsFor(0o640), process.getuid!() === 0 ? [] : all);
});

test("all errors are reported at once", (t) => {
  const directory = makeDirectory(t);
  const good = makePem(directory, "good");
  const empty = join(directory, "empty.pem");
  writeFileSync(empty, "");
  const missing = join(directory, "missing.pem");
  const ca = { mode: "required", ca: empty, crl: "" } as const;
  const { problems, tls } = load({
    pemFiles: [pemFile(missing), pemFile(good), pemFile(directory)],
    pemDirectory: { path: join(directory, "none"), glob: "" },
    passphraseFile: missing,
    frontends: [
      frontend(1, { pemFiles: [pemFile(empty), pemFile(missing)], clientVerify: ca }),
      frontend(2, { pemFiles: [pemFile("/dev/null"), pemFile(good, { key: empty })] }),
    ],
  });
  assert.deepEqual(problems, [
    `--passphrase-file: it does not exist in ${
      dirname(missing)
    }; give the path of a file with passphrases, not its contents`,
    `--pem-dir: ${join(directory, "none")}: it does not exist; check the path`,
    `PEM file ${missing}: it does not exist; check the path`,
    `PEM file ${directory}: it is a directory; specify a file in it, or all of them with ` +
    `--pem-dir=${directory}`,
    `${empty}: no certificate in it; it is empty; specify a PEM file with the certificate, its ` +
    "chain and its private key",
    `--client-verify-ca: ${empty}: no CA certificate in it; it is empty; add PEM CERTIFICATE ` +
    "sections",
    "PEM file /dev/null: it is not a regular file; specify one",
    `${empty}: no private key in it; it is empty; append the key's PEM section, as in: ` +
    "(umask 077; cat fullchain.pem privkey.pem > NEW.pem), or name the key's file in a block of the " +
    'configuration file: pem-file = { cert = "…" private-key = "…" }',
  ]);
  assert.equal(tls.certificates.length, 1);
});

test("a frontend without any certificate is a problem, but not in client mode", (t) => {
  const path = makeDirectory(t);
  const { problems } = load({ pemDirectory: { path, glob: "" } });
  assert.deepEqual(problems, [
    "No x509 certificate PEM file specified for frontend '[127.0.0.1]:8443'! " +
    `Put one into ${path}`,
  ]);
  writeFileSync(join(path, "a.crt"), "");
  assert.match(
    load({ pemDirectory: { path, glob: "*.pem" } }).problems.join("\n"),
    /! Put one into \S+ that matches \*\.pem$/,
  );
  const { tls } = frontend(1);
  const client = load({ backendTls: { serverName: "", verify: false, ca: "", tls } });
  assert.deepEqual(client.problems, []);
  assert.deepEqual(client.tls.certificates, []);
  assert.deepEqual(client.tls.frontends.map(({ own, global }) => [own, global]), [[[], []]]);
});

test("a certificate without a name serves by default, except in the hitch dialect", (t) => {
  const cert = makePem(makeDirectory(t), "nameless", { subject: "/O=x" });
  const stud = load({ pemFiles: [pemFile(cert)] });
  assert.deepEqual([stud.problems, stud.tls.certificates[0]!.names], [[], []]);
  const hitch = load({ dialect: "hitch", pemFiles: [pemFile(cert)] });
  assert.deepEqual(hitch.problems, [
    `Could not find Subject Alternative Names or a CN on cert ${cert}`,
  ]);
});

test("for several certificates with one name, the one that serves is logged", (t) => {
  const directory = makeDirectory(t);
  const make = (name: string, key: "ec" | "rsa" = "ec") =>
    makePem(directory, name, { key, names: "DNS:x.example" });
  const [first, second, rsa] = [make("first"), make("second"), make("rsa", "rsa")];
  const pemFiles = [pemFile(first), pemFile(second), pemFile(rsa), pemFile(first)];
  const stud = `${second}: the name x.example is served by ${first}, which is listed first`;
  assert.deepEqual(load({ pemFiles }).warnings, [stud]);
  const frontends = [frontend(1, { pemFiles }), frontend(2)];
  assert.deepEqual(load({ pemFiles, frontends }).warnings, [stud]);
  const hitch = `Warning: SNI name 'x.example' from '${second}' overridden by '${first}'`;
  assert.deepEqual(load({ pemFiles, dialect: "hitch" }).warnings, [hitch]);
  const single = load({ pemFiles }, { ...able, dualCertificates: false });
  assert.equal(single.warnings.length, 2);
  assert.match(single.warnings[1]!, /rsa\.pem: the name x\.example is served by .*first\.pem,/);
  const apart = [frontend(1, { pemFiles: [pemFile(first)] }), frontend(2)];
  assert.deepEqual(load({ pemFiles: [pemFile(second)], frontends: apart }).warnings, []);
});

test("possible surprises are warnings: validity periods, and DH parameters without effect", (t) => {
  const directory = makeDirectory(t);
  const certs = ["a", "b", "c"].map((name) => makePem(directory, name));
  for (const cert of certs.slice(0, 2)) appendFileSync(cert, dhSection(), OWNER_ONLY);
  appendFileSync(
    certs[2]!,
    "-----BEGIN DH PARAMETERS-----\nMAA=\n-----END DH PARAMETERS-----\n",
    OWNER_ONLY,
  );
  const config = configuration({ pemFiles: certs.map((cert) => pemFile(cert)) });
  const make = () => new Certificates(runtime.libc, new Passphrases());
  const { warnings, tls, storeFd } = make().load(config, able);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!, /c\.pem: its DH parameters are not used, as /);
  const { dhParameters } = readMaterial(runtime.libc, storeFd, tls.certificates[0]!);
  assert.equal(dhParameters, dhSection());

  const unable = make().load(config, { ...able, dhParameters: false }).warnings;
  assert.equal(unable.length, 2);
  assert.match(unable[1]!, /a\.pem and 1 more files: this build does not use the DH parameters/);
});

test("a reload reads only changed files", (t) => {
  const directory = makeDirectory(t);
  const [a, b, other] = ["a", "b", "other"].map((name) => makePem(directory, name));
  const locked = join(directory, "locked.pem");
  const key = openssl(
    ["pkcs8", "-topk8", "-passout", "pass:sesame"],
    sectionOf(other!, "PRIVATE KEY"),
  );
  writeFileSync(locked, sectionOf(other!, "CERTIFICATE") + key);
  const questions: string[] = [];
  const askSecretly = (prompt: string) => {
    questions.push(prompt);
    return Buffer.from("sesame");
  };
  const certificates = new Certificates(runtime.libc, new Passphrases({ askSecretly }));
  const config = configuration({ pemFiles: [pemFile(a!), pemFile(b!), pemFile(locked)] });
  const before = certificates.load(config, able);
  const same = certificates.load(config, able);
  assert.deepEqual(same.tls, before.tls);
  copyFileSync(other!, b!);
  appendFileSync(locked, "changed\n");
  const after = certificates.load(config, able);
  assert.deepEqual([after.problems, questions.length], [[], 1]);
  assert.equal(after.storeFd, before.storeFd);
  assert.deepEqual(after.tls.certificates[0], before.tls.certificates[0]);
  assert.deepEqual(after.tls.certificates[1]!.names, ["other"]);
  // The same key and chain are not stored again.
  const [, , lockedBefore] = before.tls.certificates;
  assert.equal(after.tls.certificates[1]!.offset, lockedBefore!.offset);
  assert.equal(after.tls.certificates[2]!.offset, lockedBefore!.offset);
  // Workers of the running configuration still find their certificates.
  assert.deepEqual(before.sources[1]!.chain(), sectionOfChain(before, 1));
  rmSync(a!);
  assert.equal(certificates.load(config, able).problems.length, 1);
});

/** Makes openssl use no configuration of the system. */
function minimal(context: TestContext): string[] {
  const config = join(makeDirectory(context), "openssl.cnf");
  writeFileSync(config, "[req]\ndistinguished_name = subject\n[subject]\n");
  return ["-config", config];
}

function sectionOfChain({ tls, storeFd }: LoadedTls, place: number): string {
  return readMaterial(runtime.libc, storeFd, tls.certificates[place]!).chain;
}

test("a key that was decrypted needs no passphrase again, whatever becomes of its files", (t) => {
  const directory = makeDirectory(t);
  const [one, other] = ["one", "other"].map((name) => makePem(directory, name));
  const encrypted = (path: string) =>
    openssl(
      ["pkcs8", "-topk8", "-passout", "pass:sesame"],
      sectionOf(path, "PRIVATE KEY"),
    );
  const key = encrypted(one!);
  const renewed = openssl(["req", "-x509", "-key", one!, "-subj", "/CN=renewed", ...minimal(t)]);
  const file = join(directory, "locked.pem");
  writeFileSync(file, sectionOf(one!, "CERTIFICATE") + key);
  let questions = 0;
  const askSecretly = () => {
    questions++;
    return Buffer.from("sesame");
  };
  // Each load begins a new store.
  const certificates = new Certificates(runtime.libc, new Passphrases({ askSecretly }), -1);
  const load = (...pemFiles: string[]) =>
    certificates.load(configuration({ pemFiles: pemFiles.map((each) => pemFile(each)) }), able);
  const keyAt = ({ tls, storeFd }: LoadedTls) =>
    readMaterial(runtime.libc, storeFd, tls.certificates[0]!).key;
  assert.equal(keyAt(load(file)), sectionOf(one!, "PRIVATE KEY"));
  for (let round = 0; round < 3; round++) {
    writeFileSync(file, renewed + key + "\n".repeat(round));
    const loaded = load(file);
    assert.deepEqual(loaded.problems, []);
    assert.deepEqual(loaded.tls.certificates[0]!.names, ["renewed"]);
    assert.equal(keyAt(loaded), sectionOf(one!, "PRIVATE KEY"));
  }
  assert.equal(questions, 1);
  // What failed loses nothing.
  assert.equal(load(join(directory, "none")).problems.length, 1);
  const another = join(directory, "another.pem");
  writeFileSync(another, sectionOf(other!, "CERTIFICATE") + encrypted(other!));
  const { problems } = load(file, another);
  assert.equal(problems.length, 1);
  assert.match(problems[0]!, /another\.pem: the private key is encrypted, .* --passphrase-file$/);
  assert.deepEqual(load(file).problems, []);
  assert.equal(questions, 1);
});

test("a store in which too much is out of use is replaced, and the one before stays", (t) => {
  const directory = makeDirectory(t);
  const [a, b] = ["a", "b"].map((name) => pemFile(makePem(directory, name)));
  const certificates = new Certificates(runtime.libc, new Passphrases(), 100);
  const load = (...pemFiles: typeof a[]) =>
    certificates.load(configuration({ pemFiles: pemFiles.map((file) => file!) }), able);
  const first = load(a, b);
  const second = load(a);
  assert.equal(second.storeFd, first.storeFd);
  const third = load(a);
  assert.notEqual(third.storeFd, first.storeFd);
  assert.equal(load(a).storeFd, third.storeFd);
  assert.equal(first.sources[1]!.chain(), sectionOf(b!.cert, "CERTIFICATE"));
  assert.equal(third.sources[0]!.chain(), sectionOf(a!.cert, "CERTIFICATE"));
});

test("however many loads fail, the running configuration keeps its store until the next is used", (t) => {
  const directory = makeDirectory(t);
  const [a, b] = ["a", "b"].map((name) => pemFile(makePem(directory, name)));
  const certificates = new Certificates(runtime.libc, new Passphrases(), 100);
  const load = (...pemFiles: typeof a[]) =>
    certificates.load(configuration({ pemFiles: pemFiles.map((file) => file!) }), able);
  const running = load(a, b);
  const stores = new Set([running.storeFd]);
  let last = running;
  for (const each of [a, a, b, b, a, a, b, b]) stores.add((last = load(each)).storeFd);
  assert.ok(stores.size > 2, "the store was renewed more than once");
  assert.equal(running.sources[1]!.chain(), sectionOf(b!.cert, "CERTIFICATE"));
  certificates.use();
  assert.equal(last.sources[0]!.chain(), sectionOf(b!.cert, "CERTIFICATE"));
  assert.throws(() => running.sources[1]!.chain());
});

/** A CA in a PEM file with its key, and a CRL of it. */
function makeAuthority(context: TestContext, name: string) {
  const directory = makeDirectory(context);
  const both = makePem(directory, name, { isCa: true });
  const ca = join(directory, "authority.crt");
  writeFileSync(ca, sectionOf(both, "CERTIFICATE"));
  const config = join(directory, "ca.cnf");
  const database = join(directory, "database");
  writeFileSync(database, "");
  writeFileSync(config, `[ca]\ndefault_ca=x\n[x]\ndatabase=${database}\ndefault_md=sha256\n`);
  const crl = join(directory, "crl.pem");
  const signer = ["-keyfile", both, "-cert", ca];
  openssl(["ca", "-gencrl", "-config", config, ...signer, "-crldays", "1", "-out", crl]);
  return { ca, crl };
}

test("client verification is loaded once, for certificates and frontends", (t) => {
  const { ca, crl } = makeAuthority(t, "ca");
  const pem = makePem(makeDirectory(t), "a");
  const required = { mode: "required", ca, crl } as const;
  const optional = { mode: "optional", ca, crl: "" } as const;
  const none = { mode: "none", ca: "", crl: "" } as const;
  const { tls, problems, warnings } = load({
    pemFiles: [
      pemFile(pem, { clientVerify: required }),
      pemFile(pem, { clientVerify: { ...none, ca } }),
      pemFile(pem),
    ],
    frontends: [
      frontend(1, { clientVerify: { ...required } }),
      frontend(2, { clientVerify: optional }),
      frontend(3),
    ],
  });
  assert.deepEqual([problems, warnings], [[], []]);
  const caText = sectionOf(ca, "CERTIFICATE");
  const trustAt = (place: number | undefined) => tls.trusts[place!];
  const requiredTrust = { mode: "required", ca: caText, crl: readFileSync(crl, "utf8") };
  assert.deepEqual(tls.certificates.map(({ trust }) => trustAt(trust)), [
    requiredTrust,
    none,
    undefined,
  ]);
  assert.deepEqual(tls.frontends.map(({ trust }) => trustAt(trust)), [
    requiredTrust,
    { mode: "optional", ca: caText, crl: "" },
    none,
  ]);
  assert.equal(tls.trusts.length, 3);
});

test("CRLs are checked against their CAs and the time", (t) => {
  const one = makeAuthority(t, "one");
  const other = makeAuthority(t, "other");
  const cert = makePem(makeDirectory(t), "a");
  const check = (crl: string, now?: number) => {
    const verify = { mode: "required", ca: one.ca, crl } as const;
    const config = configuration({ pemFiles: [pemFile(cert, { clientVerify: verify })] });
    return new Certificates(runtime.libc, new Passphrases()).load(config, able, now);
  };
  assert.deepEqual(check(one.crl).warnings, []);
  const shared = join(makeDirectory(t), "shared.pem");
  writeFileSync(shared, readFileSync(one.ca, "utf8") + readFileSync(one.crl, "utf8"));
  const both = { mode: "required", ca: shared, crl: shared } as const;
  const { warnings, problems } = load({ pemFiles: [pemFile(cert, { clientVerify: both })] });
  assert.deepEqual([warnings, problems], [[], []]);
  const listOnly = { ...both, ca: one.ca };
  assert.match(
    load({ pemFiles: [pemFile(cert, { clientVerify: listOnly })] }).warnings[0]!,
    /shared\.pem: not used here: CERTIFICATE \(line 1\); remove it if it is of no use$/,
  );
  assert.match(check(other.crl).warnings[0]!, /no CRL of the CA "CN=one" of .*; clients/);
  const tomorrow = Date.now() + 30 * 60 * 60 * 1000;
  assert.match(check(one.crl, tomorrow).warnings.join("\n"), /a CRL in it expired on 20/);
  assert.match(check(cert).problems[0]!, /a\.pem: no CRL in it;/);
  writeFileSync(other.crl, "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n");
  assert.match(check(other.crl).problems[0]!, /crl\.pem: line 1: the CRL cannot be read;/);
});

test("a passphrase file that cannot be read is the only problem of an encrypted key", (t) => {
  const directory = makeDirectory(t);
  const cert = join(directory, "encrypted.pem");
  const words = ["-x509", "-newkey", "ed25519", "-subj", "/CN=x", "-passout", "pass:hunter2"];
  const out = [join(directory, "key"), join(directory, "crt")] as const;
  execFileSync("openssl", ["req", ...words, "-keyout", out[0], "-out", out[1]], { stdio: "pipe" });
  writeFileSync(cert, out.map((file) => readFileSync(file, "utf8")).join(""));
  const missing = join(directory, "missing");
  const { problems } = load({ pemFiles: [pemFile(cert)], passphraseFile: missing });
  assert.deepEqual(problems, [
    `--passphrase-file: it does not exist in ${
      dirname(missing)
    }; give the path of a file with passphrases, not its contents`,
  ]);
});
