import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parseBundle } from "../../src/certificates/bundle.ts";
import { makeDirectory, makePem, openssl, sectionOf } from "../support/certificate_files.ts";

const noKey = () => assert.fail("this key is not encrypted");

test("a file that is not a PEM bundle is named, with what makes one of it", (t) => {
  const directory = makeDirectory(t);
  const pem = makePem(directory, "x");
  const [cert, key] = [sectionOf(pem, "CERTIFICATE"), sectionOf(pem, "PRIVATE KEY")];
  const made = (...args: string[]): Buffer => {
    const out = join(directory, "out");
    openssl([...args, "-out", out]);
    return readFileSync(out);
  };
  const pass = ["-passout", "pass:x"];
  const request = ["req", "-new", "-key", pem, "-subj", "/CN=x", "-config", minimal(directory)];
  const der = made("x509", "-in", pem, "-outform", "der");
  const crl = makeCrl(directory, pem);
  const files: [Buffer | string, string][] = [
    [der, "a certificate in DER; convert it with: openssl x509 -inform der -in F "],
    [
      made("pkey", "-in", pem, "-outform", "der"),
      "a private key in DER; convert it with: openssl pkey -inform der -in F ",
    ],
    [
      made("ec", "-in", pem, "-outform", "der"),
      "a private key in DER; convert it with: openssl pkey -inform der -in F ",
    ],
    [
      made("pkcs8", "-topk8", "-in", pem, "-outform", "der", ...pass),
      "an encrypted private key in DER; convert it with: openssl pkcs8 ",
    ],
    [
      made("pkcs12", "-export", "-in", pem, ...pass),
      "a PKCS#12 archive; convert it with: openssl pkcs12 -in F -nodes ",
    ],
    [
      made("crl2pkcs7", "-nocrl", "-certfile", pem, "-outform", "der"),
      "a PKCS#7 file in DER; convert it with: openssl pkcs7 -print_certs -inform der -in F ",
    ],
    [
      made("crl2pkcs7", "-nocrl", "-certfile", pem),
      "a PKCS#7 file; convert it with: openssl pkcs7 -print_certs -in F ",
    ],
    [made(...request), "a certificate signing request; send it to a CA"],
    [made(...request, "-outform", "der"), "a certificate signing request; send it to a CA"],
    [
      readFileSync(crl),
      "only a CRL; specify a PEM file with the certificate, its chain and its private key",
    ],
    [made("crl", "-in", crl, "-outform", "der"), "a CRL in DER; convert it "],
    [made("pkey", "-in", pem, "-pubout"), "only a public key; specify a PEM file "],
    [made("pkey", "-in", pem, "-pubout", "-outform", "der"), "only a public key, in DER; "],
    [key, "only a private key; specify a PEM file with the certificate, its chain and its private"],
    [cert.split("\n").slice(1, -2).join("\n"), "base64 without the lines -----BEGIN"],
    [key.replaceAll("PRIVATE", "OPENSSH PRIVATE"), "a key in OpenSSH's form; convert a copy of "],
    ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 x@y\n", "a public key of OpenSSH, which is not for TLS; "],
    [Buffer.from("feedfeed00000002", "hex"), "a Java keystore; convert it with: keytool -import"],
    [gzipSync(cert), "compressed with gzip; unpack it"],
    ["This directory contains your keys.\n", "a text without PEM sections; specify a PEM file"],
    ['{"letsencrypt": {}}', "JSON or a similar text; "],
    [
      `"${(key + cert).replaceAll("\n", "\\n")}"`,
      "the two characters \\n in place of line ends; convert it with: (umask 077; sed ",
    ],
    [key.replaceAll("\n", "\\r\\n"), "the two characters \\n in place of line ends; convert it "],
    ["<html><body>404", "an HTML or XML page, perhaps of a failed download; specify a PEM file"],
    ["\0".repeat(512), "empty; specify a PEM file"],
    [Buffer.from("30820500020100", "hex"), "binary data of an unknown form, perhaps damaged DER; "],
  ];
  for (const [content, kind] of files) {
    assert.throws(
      () => parseBundle({ text: content, file: "F" }, noKey),
      ({ name, message }: Error) => {
        assert.equal(name, "UsageError");
        const [, found] = /^F: no certificate in it; it (?:is|has) ([^]*)$/.exec(message) ?? [];
        assert.ok(found?.startsWith(kind), `${message}\n${kind}`);
        return true;
      },
    );
  }
  assert.throws(() => parseBundle({ text: cert, file: "F" }, noKey), {
    message: /^F: no private key in it; it has only certificates; append .*: pem-file = \{ cert = /,
  });
  for (const damaged of [cert.replace("-----", "----"), cert.replace("BEGIN", "begin") + key]) {
    assert.throws(() => parseBundle({ text: damaged, file: "F" }, noKey), {
      message:
        /^F: no certificate in it; line \d looks like a part of a PEM section, but belongs to /,
    });
  }
  const other = sectionOf(makePem(directory, "y"), "CERTIFICATE");
  const withoutLeaf = { text: `-${cert}${other}${key}`, file: "F" };
  assert.throws(() => parseBundle(withoutLeaf, noKey), {
    message:
      /^F: the private key does not belong to the first certificate; line 1 looks like a part /,
  });
  const separate = { text: der, file: "K" };
  assert.throws(() => parseBundle({ text: cert, file: "F" }, noKey, separate), {
    message: /^K: no private key in it; it is a certificate in DER; convert it with: /,
  });
});

function minimal(directory: string): string {
  return join(directory, "openssl.cnf");
}

function makeCrl(directory: string, signer: string): string {
  const database = join(directory, "database");
  const config = join(directory, "ca.cnf");
  writeFileSync(database, "");
  writeFileSync(config, `[ca]\ndefault_ca=x\n[x]\ndatabase=${database}\ndefault_md=sha256\n`);
  const words = ["-config", config, "-keyfile", signer, "-cert", signer, "-crldays", "1"];
  const out = join(directory, "crl.pem");
  openssl(["ca", "-gencrl", ...words, "-out", out]);
  return out;
}
