/**
 * The contract of src/runtime/ for lists of ciphers, suites and groups, run against the adapter of the
 * runtime that executes this file. What a build that cannot choose accepts is in fixed_lists.test.ts.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as runtime from "#runtime";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { TlsParameters } from "../../src/runtime/tls.ts";
import { settingsWith } from "../support/adapter.ts";
import { plainSettings } from "../support/tls_settings.ts";

const { capabilities, createTlsContext, passedOver }: Runtime = runtime;
const needing = (ability: "ciphers" | "ciphersuites" | "curves") => ({
  skip: !capabilities[ability],
});
const isBun = (runtime as Runtime).name === "bun";

/** Returns what was passed over; a context is made of the list too. */
function over(list: "ciphers" | "ciphersuites" | "curves", text: string): string {
  const parameters: Partial<TlsParameters> = { [list]: text };
  createTlsContext(settingsWith(parameters));
  return passedOver({ ...plainSettings, ...parameters })[list];
}

const DHE_ON_BUN = (names: string) => isBun ? `${names} (unknown to BoringSSL)` : "";
const title = isBun ? "BoringSSL" : "OpenSSL";

test("names that the library does not know are passed over", needing("ciphers"), () => {
  const lists: [list: string, passedOver: string][] = [
    ["ECDHE+AESGCM:ECDHE+CHACHA20", ""],
    ["HIGH:!aNULL:!MD5", ""],
    [
      "HIGH:!aNULL:!eNULL:!EXPORT:!DES:!RC4:!3DES:!PSK:!SSLv2:!kRSA+CAMELLIA:!DHE-RSA-AES128-SHA",
      "",
    ],
    ["HIGH:@STRENGTH", ""],
    ["AES128-SHA, AES256-SHA;HIGH !PSK", ""],
    ["EECDH+AESGCM:EDH+AESGCM:AES256+EECDH:AES256+EDH", DHE_ON_BUN("EDH+AESGCM, AES256+EDH")],
    [
      "ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384",
      DHE_ON_BUN("DHE-RSA-AES256-GCM-SHA384"),
    ],
    ["AES128-SHA256:AES128-SHA", DHE_ON_BUN("AES128-SHA256")],
    ["HIGH:RC4-SHA:RC4:IDEA", `RC4-SHA, RC4, IDEA (unknown to ${title})`],
    ["HIGH:no-such:HIGHER", `no-such, HIGHER (unknown to ${title})`],
    [
      "HIGH:TLS_AES_128_GCM_SHA256",
      "TLS_AES_128_GCM_SHA256 (of TLS 1.3, which this list does not affect)",
    ],
    [
      "HIGH:!TLS_AES_128_CCM_SHA256",
      "!TLS_AES_128_CCM_SHA256 (of TLS 1.3, which this list does not affect)",
    ],
    [
      "HIGH:!FOO:-BAR+AES:+BAZ",
      "!FOO (excludes nothing), -BAR+AES (excludes nothing), +BAZ (moves nothing)",
    ],
    ["HIGH:!RC44", "!RC44 (excludes nothing)"],
    ["PROFILE=SYSTEM", "PROFILE=SYSTEM (the default list stands for it)"],
    [
      "TLS_RSA_WITH_AES_128_CBC_SHA:TLS_RSA_WITH_RC4_128_SHA",
      `TLS_RSA_WITH_RC4_128_SHA (unknown to ${title})`,
    ],
    ["DEFAULT@SECLEVEL=1", isBun ? "@SECLEVEL=1 (BoringSSL has no such levels)" : ""],
  ];
  for (const [list, expected] of lists) assert.equal(over("ciphers", list), expected, list);
});

test("a list of which nothing is left is an error", () => {
  const lists: [keyof TlsParameters & ("ciphers" | "ciphersuites" | "curves"), string[]][] = [
    ["ciphers", [
      "RC4-SHA",
      "NOPE:FOO",
      "TLS_AES_128_GCM_SHA256",
      "ALL:!ALL",
      "!aNULL",
      "@STRENGTH",
    ]],
    ["ciphersuites", ["TLS_NOPE", "AES128-SHA", "TLS_RSA_WITH_AES_128_CBC_SHA"]],
    ["curves", ["NOPE", "sect571r1x:P-255"]],
  ];
  for (const [list, texts] of lists) {
    if (!capabilities[list]) continue;
    for (const text of texts) {
      assert.throws(() => createTlsContext(settingsWith({ [list]: text })), /^Error: .+$/, text);
    }
  }
});

test("what is no item of a cipher list is an error", needing("ciphers"), () => {
  for (const list of ["HIGH:!", "HIGH:AES+", "HIGH:@FOO", "HIGH:@SECLEVEL=9", "HIGH:!!AES"]) {
    assert.throws(() => createTlsContext(settingsWith({ ciphers: list })), /^Error: .+$/, list);
  }
});

test("a demand that cannot be met is an error", needing("ciphers"), () => {
  const strict = () => createTlsContext(settingsWith({ ciphers: "HIGH:@SECLEVEL=3" }));
  if (isBun) assert.throws(strict, /@SECLEVEL=3 needs the Node build/);
  else strict();
});

test("unknown suites of TLS 1.3 are passed over", needing("ciphersuites"), () => {
  const list = "TLS_AES_128_GCM_SHA256:TLS_NOPE:AES128-SHA";
  assert.equal(over("ciphersuites", list), "TLS_NOPE, AES128-SHA (unknown to OpenSSL)");
});

test(
  "unknown groups are passed over, and known ones have all their names",
  needing("curves"),
  () => {
    const lists: [list: string, passedOver: string][] = [
      ["X25519:prime256v1:secp384r1:secp521r1", ""],
      ["X25519:secp256r1:P-521:x25519", ""],
      ["X25519:NOPE:P-256", `NOPE (unknown to ${title})`],
      ["?X448:?NOPE:X25519", ""],
      ["*X25519/prime256v1:secp384r1", ""],
      ["DEFAULT:-P-256", ""],
      ["X448:X25519", isBun ? "X448 (unknown to BoringSSL)" : ""],
    ];
    for (const [list, expected] of lists) assert.equal(over("curves", list), expected, list);
  },
);
