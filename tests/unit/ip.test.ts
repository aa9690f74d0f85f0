import assert from "node:assert/strict";
import { test } from "node:test";
import { ipBytes, ipFamily, ipText, unmapped } from "../../src/os/ip.ts";

const hex = (text: string) => Buffer.from(ipBytes(text)).toString("hex");

test("addresses are parsed to bytes in network order", () => {
  assert.equal(hex("192.0.2.1"), "c0000201");
  assert.equal(hex("::"), "0".repeat(32));
  assert.equal(hex("::1"), "0".repeat(31) + "1");
  assert.equal(hex("1::"), "0001" + "0".repeat(28));
  assert.equal(hex("2001:DB8::8:800:200c:417a"), "20010db80000000000080800200c417a");
  assert.equal(hex("::ffff:192.0.2.1"), "00000000000000000000ffffc0000201");
  assert.equal(hex("1:2:3:4:5:6:7::"), "00010002000300040005000600070000");
});

test("bytes are formatted as the shortest text of RFC 5952", () => {
  const canonical = {
    "2001:0db8:0:0:1:0:0:1": "2001:db8::1:0:0:1",
    "2001:db8:0:1:1:1:1:1": "2001:db8:0:1:1:1:1:1",
    "2001:0:0:1:0:0:0:1": "2001:0:0:1::1",
    "0:0:0:0:0:0:0:0": "::",
    "fe80:0:0:0:0:0:0:0": "fe80::",
    "::FFFF:c000:201": "::ffff:192.0.2.1",
    "203.0.113.9": "203.0.113.9",
  };
  for (const [given, shortest] of Object.entries(canonical)) {
    assert.equal(ipText(ipBytes(given)), shortest);
  }
});

test("text that is not a numeric address is refused", () => {
  const wrong = ["", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.4 ", "localhost", ":"];
  wrong.push(":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::");
  wrong.push("12345::", "g::", "fe80::1%eth0", "[::1]", "::1.2.3", "1.2.3.4::", "::1.2.3.4:5");
  for (const text of wrong) {
    assert.equal(ipFamily(text), 0, text);
    assert.throws(() => ipBytes(text), RangeError, text);
  }
  assert.equal(ipFamily("0.0.0.0"), 4);
  assert.equal(ipFamily("::ffff:1.2.3.4"), 6);
});

test("only an IPv4-mapped address is unmapped", () => {
  assert.equal(unmapped("::ffff:192.0.2.1"), "192.0.2.1");
  assert.equal(unmapped("192.0.2.1"), "192.0.2.1");
  assert.equal(unmapped("::192.0.2.1"), "::192.0.2.1");
});
