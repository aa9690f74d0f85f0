import assert from "node:assert/strict";
import { test } from "node:test";
import { trustedPeers } from "../../src/connection/trusted.ts";
import { networks, ValueError } from "../../src/options/values.ts";
import { problemsOf } from "../support/parse.ts";

test("a malformed block is refused with the reason and the correct form", () => {
  const prefix = /^--trusted-proxies: ".+" needs a prefix length of 0 to (32|128) after the \/, /;
  const wrong: [items: string[], problem: RegExp][] = [
    [["10.0.0.0/08", "10.0.0.0/00", "10.0.0.0/33", "::/129", "::/064", "1.2.3.4/"], prefix],
    [["10.0.0.0/8/8", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8.0", "10.0.0.0/٨"], prefix],
    [["host", "10/8", "/8", "010.0.0.0/8", "::1::/8", "Unix", "unix/8"], /is not an IP address/],
    [
      ["fe80::1%eth0", "fe80::%1/64"],
      /has a zone, which is not supported; remove the % and what follows it/,
    ],
  ];
  for (const [items, problem] of wrong) {
    for (const item of items) {
      const [found, ...others] = problemsOf([`--trusted-proxies=${item}`, "a.pem"]);
      assert.match(found ?? "", problem, item);
      assert.match(found!, /; for example, use 192\.0\.2\.1,10\.0\.0\.0\/8,fd00::\/8$/);
      assert.deepEqual(others, []);
      assert.throws(() => trustedPeers([item]), RangeError, item);
    }
  }
});

test("a worker accepts exactly what the options accept", () => {
  const parts = ["0", "00", "08", "8", "1", "32", "33", "128", "129", "255", "256", "ffff", "fd00"];
  parts.push("10.0.0.0", "192.0.2.1", "::", ":", ".", "/", "/", "/", "-", "+", "%", "x", "unix");
  let seed = 1;
  const random = (below: number) => {
    seed = seed * 48271 % 2147483647;
    return seed % below;
  };
  const accepted = new Set<string>();
  for (let round = 0; round < 50_000; round++) {
    const item = Array.from({ length: 1 + random(4) }, () => parts[random(parts.length)]).join("");
    const isAccepted = doesNotThrow(() => networks(item), ValueError);
    if (isAccepted) accepted.add(item);
    assert.equal(doesNotThrow(() => trustedPeers([item]), RangeError), isAccepted, item);
  }
  assert.ok(accepted.size > 50, `${accepted.size} were accepted`);
});

function doesNotThrow(action: () => unknown, error: new (message: string) => Error): boolean {
  try {
    action();
    return true;
  } catch (thrown) {
    assert.ok(thrown instanceof error, String(thrown));
    return false;
  }
}
