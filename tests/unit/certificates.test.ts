import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { firstDer, inside, INTEGER, SEQUENCE, sequenceOf } from "../../src/base/der.ts";
import { derOf, derToPem, pemSections } from "../../src/base/pem.ts";
import { Passphrases } from "../../src/certificates/passphrases.ts";
import { type Bundle, parseBundle } from "../../src/certificates/bundle.ts";
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

test("a bundle is read whatever its line ends and labels, with nothing to warn of", (t) => {
  const leaf = make(t);
  const issuer = make(t, "issuer");
  const ec = openssl(["ec"], leaf.key);
  const parameters = openssl(["ecparam", "-name", "prime256v1"]);
  const bom = "\ufeff";
  const texts = {
    "glued together": [leaf.cert, issuer.cert, leaf.key].map((each) => each.trimEnd()).join(""),
    "byte order marks": bom + leaf.cert + bom + issuer.cert + bom + leaf.key,
    CR: `${leaf.cert}${issuer.cert}${leaf.key}`.replaceAll("\n", "\r"),
    indented: `${leaf.cert}${issuer.cert}${leaf.key}`.replaceAll(/^/gm, "    "),
    "trailing blanks": `${leaf.cert}${issuer.cert}${leaf.key}`.replaceAll("\n", " \t\r\n"),
    "odd line lengths": `${leaf.cert}${issuer.cert}${leaf.key}`
      .replaceAll(/(?<=^[^-].{4})/gm, "\n"),
    "long lines": `${leaf.cert}${issuer.cert}${leaf.key}`.replaceAll(/(?<=^[^-].+)\n(?!-)/gm, ""),
    "bag attributes": `Bag Attributes\n    localKeyID: 01\nsubject=CN = x\n\n${leaf.cert}` +
      `Bag Attributes: <No Attributes>\n${issuer.cert}Key Attributes: <No Attributes>\n${leaf.key}`,
    "EC PARAMETERS": parameters + ec + leaf.cert + issuer.cert,
    "PKCS#8 as EC": leaf.key.replaceAll("PRIVATE", "EC PRIVATE") + leaf.cert + issuer.cert,
    "PKCS#8 as RSA": leaf.key.replaceAll("PRIVATE", "RSA PRIVATE") + leaf.cert + issuer.cert,
    "SEC1 as PKCS#8": ec.replaceAll("EC PRIVATE", "PRIVATE") + leaf.cert + issuer.cert,
    "SEC1 as RSA": ec.replaceAll("EC PRIVATE", "RSA PRIVATE") + leaf.cert + issuer.cert,
  };
  for (const [what, text] of Object.entries(texts)) {
    const bundle = parse(text);
    assert.equal(bundle.material.chain, leaf.cert + issuer.cert, what);
    assert.equal(keyOf(bundle), leaf.key, what);
    assert.deepEqual(bundle.warnings, [], what);
  }
});

test("a key with its public key inside (RFC 5958) becomes one that all libraries read", (t) => {
  const { cert, key } = make(t, "ed25519", { key: "ed25519" });
  const [, algorithm, value] = inside(firstDer(derOf(pemSections(key)[0]!)), SEQUENCE);
  const publicKey = Buffer.concat([Buffer.of(0x81, 33, 0), Buffer.alloc(32)]);
  const version = Buffer.of(INTEGER, 1, 1);
  const both = sequenceOf(version, algorithm!.whole, value!.whole, publicKey);
  assert.equal(keyOf(parse(cert + derToPem("PRIVATE KEY", both))), key);
});

test("an encrypted key is recognized under any label", (t) => {
  const { cert, key } = make(t);
  const out = ["-passout", "pass:x"];
  const texts = [
    openssl(["pkcs8", "-topk8", ...out], key).replaceAll("ENCRYPTED ", ""),
    openssl(["pkcs8", "-topk8", ...out], key).replaceAll("ENCRYPTED", "RSA"),
    openssl(["ec", "-aes256", ...out], key).replaceAll("EC PRIVATE", "PRIVATE"),
    openssl(["ec", "-aes256", ...out], key).replaceAll("\n", " \r\n").replace("DEK", "  DEK"),
  ];
  for (const text of texts) {
    const passphrases = new Passphrases({ askSecretly: () => Buffer.from("x") });
    const bundle = parseBundle(
      { text: cert + text, file: "x.pem" },
      (pem, file) => passphrases.open(pem, file),
    );
    assert.equal(keyOf(bundle), key, text);
  }
});

test("what a bundle does not use is named with its lines", (t) => {
  const leaf = make(t);
  const dh = dhSection();
  const other = make(t, "other");
  const ofKey = openssl(["pkey", "-pubout"], leaf.key);
  const { warnings, material } = parse(leaf.cert + other.key + leaf.key + ofKey + dh);
  assert.equal(derToPem("PRIVATE KEY", material.key), leaf.key);
  assert.equal(material.dhParameters, dh);
  const lines = leaf.cert.split("\n").length;
  const [otherLine, publicLine] = [lines, lines + 2 * (leaf.key.split("\n").length - 1)];
  assert.deepEqual(warnings, [
    `x.pem: not used here: PRIVATE KEY (line ${otherLine}), PUBLIC KEY (line ${publicLine}); ` +
    "remove it if it is of no use",
  ]);
  const separate = parse(`${leaf.cert}${other.key}`, `${leaf.key}${leaf.cert}${dh}`);
  assert.deepEqual(separate.warnings.map((line) => line.split(" (")[0]), [
    "x.pem: not used here: PRIVATE KEY",
    "x.key: not used here: CERTIFICATE",
  ]);
  const twoDh = parse(leaf.cert + leaf.key + dh + dh);
  assert.match(twoDh.warnings.join("\n"), /^x\.pem: not used here: DH PARAMETERS \(line \d+\);/);
  const damaged = other.cert.replace("-----BEGIN", "----BEGIN");
  for (const text of [leaf.cert + leaf.key + damaged, leaf.cert + damaged + leaf.key]) {
    const [warning, ...others] = parse(text).warnings;
    assert.match(warning!, /^x\.pem: line \d+ looks like a part of a PEM section, but belongs to /);
    assert.deepEqual(others, []);
  }
});

test("what follows an object in its section is a warning, and cannot upset any library", (t) => {
  const leaf = make(t);
  const issuer = make(t, "issuer");
  const joined = (...texts: string[]) => {
    const sections = texts.map((text) => pemSections(text)[0]!);
    return derToPem(sections[0]!.label, Buffer.concat(sections.map(derOf)));
  };
  const { material, warnings } = parse(joined(leaf.cert, issuer.cert) + joined(leaf.key, leaf.key));
  assert.equal(material.chain, leaf.cert);
  assert.equal(derToPem("PRIVATE KEY", material.key), leaf.key);
  assert.equal(warnings.length, 1);
  assert.match(
    warnings[0]!,
    /^x\.pem: more bytes than one object in CERTIFICATE \(line 1\), PRIVATE KEY \(line \d+\): only/,
  );
});

test("DH parameters of openssl dhparam -dsaparam become those of PKCS #3", (t) => {
  const { cert, key } = make(t);
  const file = join(makeDirectory(t), "dsa.pem");
  openssl([
    "genpkey",
    "-genparam",
    "-algorithm",
    "DHX",
    "-pkeyopt",
    "group:dh_2048_256",
    "-out",
    file,
  ]);
  const section = readFileSync(file, "utf8");
  assert.match(section, /^-----BEGIN X9\.42 DH PARAMETERS-----/);
  const bundle = parse(cert + key + section);
  assert.equal(bundle.hasBadDh, false);
  assert.deepEqual(bundle.warnings, []);
  const text = openssl(["dhparam", "-noout", "-text", "-check"], bundle.material.dhParameters);
  assert.match(text, /DH Parameters: \(2048 bit\)/);
  // RFC 5114 section 2.3: q has 256 bits.
  assert.match(text, /recommended-private-length: 256 bits/);
  assert.equal(modulus(text), modulus(openssl(["dhparam", "-noout", "-text"], section)));
});

function modulus(text: string): string {
  return /P:\s*([0-9a-f:\s]+)/.exec(text)![1]!.replaceAll(/\s/g, "");
}

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
  const integer = (value: bigint) => {
    const digits = value.toString(16);
    const bytes = Buffer.from(`00${digits.length % 2 ? "0" : ""}${digits}`, "hex");
    return Buffer.concat([Buffer.of(2, 0x82, bytes.length >> 8, bytes.length & 0xff), bytes]);
  };
  const ofLength = (bits: number) =>
    derToPem("DH PARAMETERS", sequenceOf(integer((1n << BigInt(bits)) - 1n), Buffer.of(2, 1, 2)));
  assert.equal(withDh(ofLength(2048)).hasBadDh, false);
  assert.deepEqual(withDh(usable), { dh: usable, hasBadDh: false });
  for (
    const bad of [
      labelled("DH PARAMETERS", "MAA="),
      labelled("DH PARAMETERS", "MAYCAQUCAQI="),
      labelled("DH PARAMETERS", body.slice(0, 100)),
      labelled("X9.42 DH PARAMETERS", body),
      // As in files of older programs' tests and guides: `openssl dhparam 1024`.
      ofLength(1024),
      ofLength(2047),
      ofLength(10_008),
    ]
  ) assert.deepEqual(withDh(bad), { dh: undefined, hasBadDh: true });
});

test("a length of DH private values that OpenSSL would refuse is not kept", (t) => {
  const { cert, key } = make(t);
  const [p, g] = inside(firstDer(derOf(pemSections(dhSection())[0]!)), SEQUENCE);
  const lengths = [160, 223, 224, 225, 2048];
  const kept = lengths.map((bits) => {
    const length = Buffer.of(INTEGER, 2, bits >> 8, bits & 0xff);
    const section = derToPem("DH PARAMETERS", sequenceOf(p!.whole, g!.whole, length));
    const { material: { dhParameters }, hasBadDh } = parse(cert + key + section);
    assert.equal(hasBadDh, false);
    return inside(firstDer(derOf(pemSections(dhParameters!)[0]!)), SEQUENCE).length === 3;
  });
  assert.deepEqual(kept, [false, false, true, true, false]);
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
