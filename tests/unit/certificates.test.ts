import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { derToPem } from "../../src/base/pem.ts";
import { type Bundle, parseBundle, validityWarning } from "../../src/certificates/bundle.ts";
import {
  dhSection,
  type KeyKind,
  makeDirectory,
  makePem,
  openssl,
  type Request,
  sectionOf,
} from "../support/certificate_files.ts";

const noKeyIsEncrypted = () => assert.fail("this key is not encrypted");

function parse(text: string, keyText?: string): Bundle {
  const key = keyText === undefined ? undefined : { text: keyText, file: "x.key" };
  return parseBundle({ text, file: "x.pem" }, noKeyIsEncrypted, key);
}

/** The key as PEM text. */
function keyOf({ material }: Bundle): string {
  return derToPem("PRIVATE KEY", material.key);
}

/** A certificate and its key as two texts. */
function make(context: TestContext, name = "leaf", request: Request = {}) {
  const path = makePem(makeDirectory(context), name, request);
  return { cert: sectionOf(path, "CERTIFICATE"), key: sectionOf(path, "PRIVATE KEY"), path };
}

test("a bundle can have its sections in any order, with others between them", (t) => {
  const leaf = make(t, "leaf", { names: "DNS:A.example,DNS:b.example" });
  const issuer = make(t, "issuer");
  const sixDashes = "------BEGIN DH PARAMETERS-----\nMAA=\n-----END DH PARAMETERS-----\n";
  const texts = [
    `${leaf.cert}${issuer.cert}${leaf.key}`,
    `${leaf.key}${leaf.cert}${issuer.cert}`,
    `some words\n${sixDashes}${leaf.cert}words\n${leaf.key}${issuer.cert}${issuer.key}`,
    `${leaf.cert}${issuer.cert}${leaf.key}`.replaceAll("\n", "\r\n"),
    `${leaf.cert}${issuer.cert}${leaf.key}`.trimEnd(),
    `${leaf.cert.replaceAll(" CERT", " X509 CERT")}${issuer.cert}${leaf.key}`,
  ];
  for (const text of texts) {
    const bundle = parse(text);
    assert.deepEqual(bundle.names, ["a.example", "b.example"]);
    assert.equal(bundle.material.chain, leaf.cert + issuer.cert);
    assert.equal(keyOf(bundle), leaf.key);
    assert.equal(bundle.material.dhParameters, undefined);
    assert.equal(bundle.hasBadDh, false);
  }
});

test("a TRUSTED CERTIFICATE is loaded without OpenSSL's trust settings", (t) => {
  const { cert, key } = make(t);
  const trusted = openssl(["x509", "-trustout", "-addtrust", "serverAuth"], cert);
  assert.match(trusted, /BEGIN TRUSTED CERTIFICATE/);
  assert.equal(parse(trusted + key).material.chain, cert);
});

test("a key can have its own file; chain and DH parameters come from the other", (t) => {
  const leaf = make(t);
  const other = make(t, "other");
  const bundle = parse(leaf.cert + other.key + dhSection(), other.cert + leaf.key);
  assert.equal(bundle.material.chain, leaf.cert);
  assert.equal(keyOf(bundle), leaf.key);
  assert.equal(bundle.material.dhParameters, dhSection());
});

test("every form of a private key becomes PKCS#8", (t) => {
  const rsa = make(t, "rsa", { key: "rsa" });
  const pkcs1 = openssl(["rsa", "-traditional"], rsa.key);
  assert.match(pkcs1, /BEGIN RSA PRIVATE KEY/);
  assert.equal(keyOf(parse(rsa.cert + pkcs1)), rsa.key);

  const ec = make(t, "ec");
  const sec1 = openssl(["ec"], ec.key);
  assert.match(sec1, /BEGIN EC PRIVATE KEY/);
  const parameters = openssl(["ecparam", "-name", "prime256v1"]);
  for (const text of [sec1, parameters + sec1]) {
    assert.equal(keyOf(parse(ec.cert + text)), ec.key);
  }
});

test("the type of the key is known", (t) => {
  for (const key of ["ec", "rsa", "ed25519"] satisfies KeyKind[]) {
    const made = make(t, key, { key });
    assert.equal(parse(made.cert + made.key).keyType, key);
  }
});

test("keys of other types are refused by name", (t) => {
  const directory = makeDirectory(t);
  const file = join(directory, "key");
  const config = join(directory, "empty.cnf");
  writeFileSync(config, "[req]\ndistinguished_name = subject\n[subject]\n");
  for (const [algorithm, name] of [["RSA-PSS", "RSA-PSS"], ["ED448", "Ed448"]]) {
    openssl(["genpkey", "-algorithm", algorithm!, "-out", file]);
    const subject = ["-subj", "/CN=x", "-config", config];
    const cert = openssl(["req", "-x509", "-key", file, ...subject]);
    assert.throws(() => parse(cert + readFileSync(file, "utf8")), {
      name: "UsageError",
      message: new RegExp(`^x\\.pem: its certificate is for a key of the type ${name}, .*ECDSA`),
    });
  }
});

test("the common name is used only if there are no other names", (t) => {
  const namesOf = (request: Request) => {
    const { cert, key } = make(t, "x", request);
    const { names, isNameless } = parse(cert + key);
    return { names, isNameless };
  };
  const named = (...names: string[]) => ({ names, isNameless: false });
  assert.deepEqual(namesOf({ subject: "/CN=Only.Example" }), named("only.example"));
  const names = "DNS:yes.example,DNS:*.Wild.example,DNS:YES.example";
  assert.deepEqual(namesOf({ names }), named("yes.example", "*.wild.example"));
  assert.deepEqual(namesOf({ subject: "/O=x/CN=a.example/CN=b.example" }), named("a.example"));
  assert.deepEqual(namesOf({ subject: "/CN=not.example", names: "IP:127.0.0.1" }), named());
  assert.deepEqual(namesOf({ subject: "/O=x" }), { names: [], isNameless: true });
});

test("text inside another name is never used as a name", (t) => {
  const directory = makeDirectory(t);
  const config = join(directory, "x.cnf");
  writeFileSync(
    config,
    "[req]\ndistinguished_name=s\nprompt=no\nx509_extensions=x\n[s]\nCN=x\n" +
      "[x]\nsubjectAltName=@a\n[a]\nDNS.1=real.example\nURI.1=http://x/, DNS:uri.example\n" +
      "DNS.2=a, DNS:comma.example\ndirName.1=d\n[d]\nCN=DNS:directory.example\n",
  );
  const { key, path } = make(t);
  const cert = openssl(["req", "-x509", "-key", path, "-config", config]);
  assert.match(new X509Certificate(cert).subjectAltName!, /uri\.example/);
  assert.deepEqual(parse(cert + key).names, ["real.example"]);
});

test("DH parameters are kept if they can be used", (t) => {
  const { cert, key } = make(t);
  const withDh = (section: string) => {
    const { material, hasBadDh } = parse(cert + section + key);
    return { dh: material.dhParameters, hasBadDh };
  };
  const usable = dhSection();
  const body = usable.split("\n").slice(1, -2).join("\n");
  const labelled = (label: string, text: string) =>
    `-----BEGIN ${label}-----\n${text}\n-----END ${label}-----\n`;
  assert.deepEqual(withDh(usable), { dh: usable, hasBadDh: false });
  for (
    const bad of [
      labelled("DH PARAMETERS", "MAA="),
      labelled("DH PARAMETERS", "MAYCAQUCAQI="),
      labelled("DH PARAMETERS", body.slice(0, 100)),
      labelled("X9.42 DH PARAMETERS", body),
    ]
  ) assert.deepEqual(withDh(bad), { dh: undefined, hasBadDh: true });
});

test("errors in a bundle name its file", (t) => {
  const one = make(t, "one");
  const other = make(t, "other");
  const rsa = make(t, "rsa", { key: "rsa" });
  const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  const brokenKey = broken.replaceAll("CERTIFICATE", "PRIVATE KEY");
  const cases: [text: string, message: RegExp][] = [
    ["", /^x\.pem: no certificate in it;/],
    [one.key, /^x\.pem: no certificate in it;/],
    [one.cert, /^x\.pem: no private key in it;/],
    [one.cert + other.key, /^x\.pem: the private key does not belong to/],
    [one.cert + rsa.key, /^x\.pem: the private key does not belong to/],
    [broken + one.key, /^x\.pem: line 1: the CERTIFICATE section cannot be read/],
    [one.cert + broken + one.key, /^x\.pem: line \d+: the CERTIFICATE section cannot be read/],
    [one.cert + brokenKey, /^x\.pem: line \d+: its private key cannot/],
    [one.cert.slice(0, 200), /^x\.pem: line 1: the CERTIFICATE section has no correct END line:/],
    [
      one.cert.slice(0, 200) + "\n" + one.key,
      /^x\.pem: line 1: the CERTIFICATE section has no correct END line:/,
    ],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => parse(text), { name: "UsageError", message });
  }
  const ownKey = { name: "UsageError", message: /^x\.key: no private key in it;/ };
  assert.throws(() => parse(one.cert + one.key, one.cert), ownKey);
});

test("a certificate outside its validity period is reported", (t) => {
  const { cert, key } = make(t);
  const bundle = parse(cert + key);
  const day = 24 * 60 * 60 * 1000;
  assert.equal(validityWarning(bundle, "a.pem", Date.now()), undefined);
  const later = validityWarning(bundle, "a.pem", Date.now() + 3 * day);
  assert.match(later!, /^a\.pem: the certificate expired on 20\S+Z; renew it$/);
  const earlier = validityWarning(bundle, "a.pem", Date.now() - day);
  assert.match(earlier!, /^a\.pem: the certificate is valid only from 20\S+Z$/);
});
