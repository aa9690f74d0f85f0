/** Which requests the admin endpoint refuses. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { AccessCheck, type Asked } from "../../src/admin/helper/access.ts";

const tokenHash = createHash("sha256").update("secret").digest("base64");

function asked(headers: readonly string[], more: Partial<Asked> = {}): Asked {
  const plain = { method: "GET", target: "/", version: "1.1", address: "127.0.0.1", isUnix: false };
  return { ...plain, rawHeaders: headers, ...more };
}

function codeOf(check: AccessCheck, headers: readonly string[], more: Partial<Asked> = {}) {
  return check.refusal(asked(headers, more))?.code;
}

test("the form of a request is checked first", () => {
  const check = new AccessCheck();
  const host = ["Host", "localhost"];
  assert.equal(codeOf(check, host), undefined);
  assert.equal(codeOf(check, host, { version: "0.9" }), 505);
  assert.equal(codeOf(check, host, { target: "*" }), 400);
  assert.equal(codeOf(check, host, { target: "http://localhost/" }), 400);
  assert.equal(codeOf(check, []), 400);
  assert.equal(codeOf(check, [], { version: "1.0" }), undefined);
  assert.equal(codeOf(check, [...host, "hOST", "localhost"]), 400);
  assert.equal(codeOf(check, [...host, "Content-Length", "1", "Transfer-Encoding", "x"]), 400);
  assert.equal(codeOf(check, [...host, "Authorization", "a", "Authorization", "b"]), 400);
});

test("without a token the Host header is a numeric address, localhost, or the configured host", () => {
  const check = new AccessCheck();
  for (
    const host of ["127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:80", "LocalHost:9", "192.0.2.1"]
  ) {
    assert.equal(codeOf(check, ["Host", host]), undefined, host);
  }
  for (const host of ["", "a.example", "127.0.0.1.nip.io", "localhost.", "[a.example]", "127.1"]) {
    assert.equal(codeOf(check, ["Host", host]), 421, host);
    assert.equal(codeOf(check, ["Host", host], { isUnix: true }), undefined, host);
  }
  check.access = { host: "a.example" };
  assert.equal(codeOf(check, ["Host", "A.example:9000"]), undefined);
  check.access = { tokenHash };
  assert.equal(codeOf(check, ["Host", "b.example", "Authorization", "Bearer secret"]), undefined);
});

test("wrong tokens of an address are limited each second, and the right one is always allowed", () => {
  let now = 0;
  const check = new AccessCheck(() => now);
  check.access = { tokenHash };
  const attempt = (token: string, address = "192.0.2.1") => {
    const headers = ["Host", "x", "Authorization", `Bearer ${token}`];
    const { code, isLast = false } = check.refusal(asked(headers, { address })) ?? {};
    return code === undefined ? "allowed" : `${code}${isLast ? " and closed" : ""}`;
  };
  for (let i = 0; i < 10; i++) assert.equal(attempt("wrong"), "401");
  for (let i = 0; i < 100; i++) {
    assert.equal(attempt("wrong"), "429 and closed");
    assert.equal(attempt("secret"), "allowed");
  }
  assert.equal(attempt("wrong", "192.0.2.2"), "401");
  now = 1000;
  // The right token does not use up the attempts of others.
  for (let i = 0; i < 20; i++) assert.equal(attempt("secret"), "allowed");
  assert.equal(attempt("wrong"), "401");
  assert.equal(codeOf(check, ["Host", "x"]), 401);
});
