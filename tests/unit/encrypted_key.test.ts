import { test } from "node:test";
import assert from "node:assert/strict";
import { parseEncryptedKey, UnsupportedEncryption } from "../../src/certificates/encrypted_key.ts";
import { derToPem } from "../../src/base/pem.ts";
import { makeDirectory, makePem, openssl, sectionOf } from "../support/certificate_files.ts";

const pkcs8 = (...words: string[]) => ["pkcs8", "-topk8", ...words];
const legacy = ["-provider", "legacy", "-provider", "default"];

/** openssl's arguments for a form of encryption, and the form's name. */
const everywhere: readonly (readonly [readonly string[], string])[] = [
  [pkcs8("-v2", "aes-256-cbc"), "PBES2 with PBKDF2, HMAC-SHA256 and AES-256-CBC"],
  [
    pkcs8("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512"),
    "PBES2 with PBKDF2, HMAC-SHA512 and AES-256-CBC",
  ],
  [
    pkcs8("-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA384"),
    "PBES2 with PBKDF2, HMAC-SHA384 and AES-128-CBC",
  ],
  [
    pkcs8("-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1", "-iter", "5000"),
    "PBES2 with PBKDF2, HMAC-SHA1 and AES-128-CBC",
  ],
  [pkcs8("-v2", "aes-192-cbc"), "PBES2 with PBKDF2, HMAC-SHA256 and AES-192-CBC"],
  [pkcs8("-v2", "des3"), "PBES2 with PBKDF2, HMAC-SHA256 and DES-EDE3-CBC"],
  [pkcs8("-scrypt"), "PBES2 with scrypt and AES-256-CBC"],
  [["ec", "-aes128"], "AES-128-CBC (DEK-Info)"],
  [["ec", "-aes192"], "AES-192-CBC (DEK-Info)"],
  [["ec", "-aes256"], "AES-256-CBC (DEK-Info)"],
  [["ec", "-des3"], "DES-EDE3-CBC (DEK-Info)"],
];

/** Only some libraries have these. */
const somewhere: typeof everywhere = [
  [pkcs8("-v2", "camellia-256-cbc"), "PBES2 with PBKDF2, HMAC-SHA256 and CAMELLIA-256-CBC"],
  [pkcs8("-v1", "PBE-SHA1-3DES"), "PBE of PKCS#12 with 3DES"],
  [pkcs8("-v1", "PBE-MD5-DES", ...legacy), "PBES1 with MD5 and DES"],
  [["ec", "-camellia256"], "CAMELLIA-256-CBC (DEK-Info)"],
  [["ec", "-des", ...legacy], "DES-CBC (DEK-Info)"],
];

test("encrypted keys of current forms are decrypted on every runtime", (t) => {
  const path = makePem(makeDirectory(t), "x");
  for (const [words, scheme] of everywhere) {
    const pem = openssl([...words, "-in", path, "-passout", "pass:sesame"]);
    const key = parseEncryptedKey(Buffer.from(pem));
    assert.equal(key.scheme, scheme);
    const opened = key.open(Buffer.from("sesame"))!;
    const der = opened.export({ type: "pkcs8", format: "der" });
    assert.equal(derToPem("PRIVATE KEY", der), sectionOf(path, "PRIVATE KEY"), scheme);
    for (let i = 0; i < 20; i++) {
      assert.equal(key.open(Buffer.from(`not sesame ${i}`)), undefined, scheme);
    }
  }
});

test("a form that the libraries lack is not taken for a wrong passphrase", (t) => {
  const path = makePem(makeDirectory(t), "x");
  for (const [words, scheme] of somewhere) {
    const pem = openssl([...words, "-in", path, "-passout", "pass:sesame"]);
    const key = parseEncryptedKey(Buffer.from(pem));
    assert.equal(key.scheme, scheme);
    const isOpened = (passphrase: string) => key.open(Buffer.from(passphrase)) !== undefined;
    try {
      assert.equal(isOpened("sesame"), true, scheme);
      assert.equal(isOpened("not sesame"), false, scheme);
    } catch (error) {
      assert.ok(error instanceof UnsupportedEncryption, scheme);
      assert.throws(() => isOpened("not sesame"), UnsupportedEncryption, scheme);
    }
  }
});
