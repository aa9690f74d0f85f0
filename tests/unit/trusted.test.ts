import assert from "node:assert/strict";
import { test } from "node:test";
import { trustedPeers } from "../../src/connection/trusted.ts";
import { at } from "../support/fake_streams.ts";

function trusts(list: readonly string[], address: string): boolean {
  return trustedPeers(list)(at(address, 1));
}

test("an address matches only itself", () => {
  assert.equal(trusts(["192.0.2.1"], "192.0.2.1"), true);
  assert.equal(trusts(["192.0.2.1"], "192.0.2.2"), false);
  assert.equal(trusts(["2001:db8::1"], "2001:db8:0:0:0:0:0:1"), true);
  assert.equal(trusts(["2001:db8::1"], "2001:db8::2"), false);
  assert.equal(trusts(["192.0.2.9", "192.0.2.1"], "192.0.2.1"), true);
  assert.equal(trusts([], "192.0.2.1"), false);
});

test("a block contains all addresses with its prefix", () => {
  const edges: [block: string, inside: string[], outside: string[]][] = [
    ["10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0"]],
    ["10.64.0.0/10", ["10.64.0.0", "10.127.255.255"], ["10.63.255.255", "10.128.0.0"]],
    ["192.0.2.130/31", ["192.0.2.130", "192.0.2.131"], ["192.0.2.129", "192.0.2.132"]],
    ["192.0.2.1/32", ["192.0.2.1"], ["192.0.2.0"]],
    ["10.1.2.3/8", ["10.9.9.9"], ["11.1.2.3"]],
    ["0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "::1"]],
    ["2001:db8::/33", ["2001:db8:7fff::1"], ["2001:db8:8000::", "2001:db9::"]],
    ["::/0", ["::", "ffff::"], ["192.0.2.1", "::ffff:192.0.2.1"]],
    ["::1/128", ["::1"], ["::2", "0.0.0.1"]],
  ];
  for (const [block, inside, outside] of edges) {
    for (const address of inside) assert.equal(trusts([block], address), true, address);
    for (const address of outside) assert.equal(trusts([block], address), false, address);
  }
});

test("an IPv4-mapped address counts as IPv4, in the list and of a peer", () => {
  assert.equal(trusts(["10.0.0.0/8"], "::ffff:10.1.2.3"), true);
  assert.equal(trusts(["10.0.0.0/8"], "::ffff:11.1.2.3"), false);
  assert.equal(trusts(["::ffff:10.0.0.0/104"], "10.1.2.3"), true);
  assert.equal(trusts(["::ffff:10.0.0.0/104"], "11.1.2.3"), false);
  assert.equal(trusts(["::ffff:192.0.2.1"], "192.0.2.1"), true);
  assert.equal(trusts(["::ffff:0:0/96"], "192.0.2.1"), true);
});

test("the peer of a Unix socket is trusted only by `unix`", () => {
  const peer = { family: "unix", path: "" } as const;
  assert.equal(trustedPeers(["unix"])(peer), true);
  assert.equal(trustedPeers(["0.0.0.0/0", "::/0"])(peer), false);
  assert.equal(trusts(["unix"], "127.0.0.1"), false);
});

test("an item that is not an address is refused", () => {
  const wrong = ["", "localhost", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "10/8", "::1/129"];
  for (const item of [...wrong, "10.0.0.0/8/8", "10.0.0.0/-1", "/8", "Unix"]) {
    assert.throws(() => trustedPeers([item]), RangeError, item);
  }
});
