import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatAddress,
  formatEndpoint,
  parseAddress,
  parseHostAddress,
} from "../../src/options/address.ts";

test("both of stud's forms are read", () => {
  assert.deepEqual(parseAddress("127.0.0.1,8000"), { host: "127.0.0.1", port: 8000 });
  assert.deepEqual(parseAddress("[127.0.0.1]:8000"), { host: "127.0.0.1", port: 8000 });
  assert.deepEqual(parseAddress("::1,8000"), { host: "::1", port: 8000 });
  assert.deepEqual(parseAddress("[::1]:8000"), { host: "::1", port: 8000 });
  assert.deepEqual(parseAddress("back-end.example,1"), { host: "back-end.example", port: 1 });
  assert.deepEqual(parseAddress("[*]:65535"), { host: "*", port: 65535 });
  assert.deepEqual(parseAddress("*,8443"), { host: "*", port: 8443 });
});

test("a wildcard is refused where one host is needed", () => {
  assert.throws(() => parseHostAddress("*,80"), {
    name: "RangeError",
    message: "Invalid address: wildcards are not allowed. Name one host, as in 127.0.0.1,80",
  });
  assert.deepEqual(parseHostAddress("::1,80"), { host: "::1", port: 80 });
});

test("HOST:PORT is refused with the right form", () => {
  assert.throws(() => parseAddress("127.0.0.1:8000"), {
    message: '"127.0.0.1:8000" is not an address; write 127.0.0.1,8000 or [127.0.0.1]:8000',
  });
  assert.throws(() => parseAddress("8000"), /write HOST,PORT or \[HOST\]:PORT/);
});

test("ports outside 1 to 65535 are refused", () => {
  for (const port of ["", "0", "65536", "99999", "123456", "-1", "http", "80 ", "0x50"]) {
    assert.throws(
      () => parseAddress(`localhost,${port}`),
      /^RangeError: Invalid port number/,
      port,
    );
    assert.throws(
      () => parseAddress(`[localhost]:${port}`),
      /^RangeError: Invalid port number/,
      port,
    );
  }
});

test("hosts which cannot exist are refused", () => {
  const wrong = ["", " ", "1.2.3", "300.1.1.1", "1::2::3", "fe80::1%eth0", "[::1]", "a b", "-x"];
  wrong.push("a/b", "x".repeat(254), "a\nb");
  for (const host of wrong) {
    assert.throws(() => parseAddress(`${host},80`), RangeError, host);
    assert.throws(() => parseAddress(`[${host}]:80`), RangeError, host);
  }
  assert.throws(() => parseAddress("[::1],80"), RangeError);
  assert.throws(() => parseAddress("[::1]80"), RangeError);
});

test("addresses are written with brackets, endpoints as people write them", () => {
  assert.equal(formatAddress({ host: "*", port: 8443 }), "[*]:8443");
  assert.equal(formatAddress({ host: "::1", port: 80 }), "[::1]:80");
  assert.equal(formatEndpoint({ family: 4, address: "192.0.2.1", port: 80 }), "192.0.2.1:80");
  assert.equal(formatEndpoint({ family: 6, address: "::1", port: 80 }), "[::1]:80");
  const mapped = { family: 6, address: "::ffff:192.0.2.1", port: 80 } as const;
  assert.equal(formatEndpoint(mapped), "192.0.2.1:80");
});
