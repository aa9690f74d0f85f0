import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32c } from "../../src/connection/proxy_protocol/crc32c.ts";
import {
  type HeaderFault,
  readProxyHeader,
} from "../../src/connection/proxy_protocol/read_header.ts";
import { prefixBytes } from "../../src/connection/prefix.ts";
import type { Endpoint } from "../../src/os/endpoint.ts";
import { at } from "../support/fake_streams.ts";

type Mode = "pass" | "use";

const SIGNATURE = "0d0a0d0a000d0a515549540a";
const IPV4 = "c0000201" + "c0000202" + "9c40" + "01bb";
const addressesV4 = { client: at("192.0.2.1", 40000), frontend: at("192.0.2.2", 443) };
const longestV6 = "1234:5678:9abc:def1:2345:6789:abcd:ef12";

/** A version 2 header by its parts in hexadecimal; the length is counted. */
function v2(versionAndCommand: string, family: string, content: string): Buffer {
  const length = (content.length / 2).toString(16).padStart(4, "0");
  return Buffer.from(SIGNATURE + versionAndCommand + family + length + content, "hex");
}

function fault(bytes: Uint8Array | string, mode: Mode = "use"): string {
  const result = readProxyHeader(Buffer.from(bytes), mode) as HeaderFault;
  assert.ok(result.fault, JSON.stringify(result));
  return result.fault;
}

/** The addresses of a whole header, parsed without and with bytes after it. */
function addresses(header: Uint8Array | string) {
  const bytes = Buffer.from(header);
  const result = readProxyHeader(bytes, "use");
  assert.deepEqual(
    readProxyHeader(Buffer.concat([bytes, Buffer.from("\x16\x03\n")]), "use"),
    result,
  );
  assert.ok(result !== "more" && "length" in result, JSON.stringify(result));
  assert.equal(result.length, bytes.length);
  return result.addresses;
}

test("version 1 has the addresses of both ends", () => {
  assert.deepEqual(addresses("PROXY TCP4 192.0.2.1 192.0.2.2 40000 443\r\n"), addressesV4);
  assert.deepEqual(addresses("PROXY TCP6 2001:DB8:0::1 ::1 0 65535\r\n"), {
    client: at("2001:db8::1", 0),
    frontend: at("::1", 65535),
  });
  const longest = `PROXY TCP6 ${longestV6} ${longestV6} 65535 65535\r\n`;
  assert.equal(addresses(longest)?.client.family, 6);
});

test("UNKNOWN and LOCAL keep the real addresses", () => {
  assert.equal(addresses("PROXY UNKNOWN\r\n"), undefined);
  assert.equal(addresses("PROXY UNKNOWN ffff::1 what ever\r\n"), undefined);
  assert.equal(addresses(`PROXY UNKNOWN ${"x".repeat(91)}\r\n`), undefined);
  assert.equal(addresses(v2("20", "00", "")), undefined);
  assert.equal(addresses(v2("20", "11", IPV4)), undefined);
  assert.equal(addresses(v2("20", "ff", "0102")), undefined);
  assert.equal(addresses(v2("21", "00", "")), undefined);
  assert.equal(addresses(v2("21", "00", "010203")), undefined);
});

test("version 1 is checked in full", () => {
  const form = "is not in the form of version 1";
  const wrong = (family: number) => `has an address or port that is invalid for TCP${family}`;
  const lines = {
    "PROXY TCP4 192.0.2.1 192.0.2.2 40000\r\n": form,
    "PROXY TCP4 192.0.2.1 192.0.2.2 40000 443 1\r\n": form,
    "PROXY TCP4 192.0.2.1  192.0.2.2 40000 443\r\n": form,
    "PROXY  TCP4 192.0.2.1 192.0.2.2 40000 443\r\n": form,
    "PROXY TCP4 192.0.2.1 192.0.2.2 40000 443 \r\n": form,
    "PROXY UDP4 192.0.2.1 192.0.2.2 40000 443\r\n": form,
    "PROXY tcp4 192.0.2.1 192.0.2.2 40000 443\r\n": form,
    "PROXY UNKNOWNS\r\n": form,
    "PROXY \r\n": form,
    "PROXY TCP4 192.0.2.1 192.0.2.2 -1 443\r\n": form,
    "PROXY TCP4 192.0.2.1 192.0.2.2 0443 443\r\n": wrong(4),
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n": wrong(4),
    "PROXY TCP4 192.0.2.1 192.0.2.02 1 2\r\n": wrong(4),
    "PROXY TCP4 192.0.2.1 host 1 2\r\n": wrong(4),
    "PROXY TCP4 ::1 ::1 1 2\r\n": wrong(4),
    "PROXY TCP6 192.0.2.1 ::1 1 2\r\n": wrong(6),
    "PROXY TCP6 ::1 ::1%lo 1 2\r\n": wrong(6),
  };
  for (const [line, expected] of Object.entries(lines)) assert.equal(fault(line), expected, line);
});

test("in both modes a line of version 1 is bounded, printable and ends in CRLF", () => {
  for (const mode of ["pass", "use"] as const) {
    const ascii = "is not an ASCII line that ends in CRLF";
    assert.equal(fault("PROXY UNKNOWN\n", mode), ascii);
    assert.equal(fault("PROXY UNKNOWN \r \r\n", mode), ascii);
    assert.equal(fault("PROXY UNKNOWN \0\r\n", mode), ascii);
    assert.equal(fault("PROXY UNKNOWN é\r\n", mode), ascii);
    const line = (length: number) => `PROXY UNKNOWN ${"x".repeat(length - 16)}\r\n`;
    const tooLong = "is a line of more than 107 bytes";
    assert.deepEqual(readProxyHeader(Buffer.from(line(107)), mode), { length: 107 });
    assert.equal(fault(line(108), mode), tooLong);
    assert.equal(fault(`PROXY ${"x".repeat(101)}`, mode), tooLong);
    assert.equal(readProxyHeader(Buffer.from(`PROXY ${"x".repeat(100)}`), mode), "more");
  }
});

test("version 2 has the addresses of both ends", () => {
  assert.deepEqual(addresses(v2("21", "11", IPV4)), addressesV4);
  const v6 = "20010db8" + "0".repeat(23) + "1" + "0".repeat(31) + "2" + "0001" + "ffff";
  assert.deepEqual(addresses(v2("21", "21", v6)), {
    client: at("2001:db8::1", 1),
    frontend: at("::2", 65535),
  });
  const path = (text: string) => Buffer.from(text.padEnd(108, "\0")).toString("hex");
  const unix = (client: string) => addresses(v2("21", "31", path(client) + path("/run/x")))?.client;
  assert.deepEqual(unix("/tmp/client"), { family: "unix", path: "/tmp/client" });
  assert.deepEqual(unix("x".repeat(108)), { family: "unix", path: "x".repeat(108) });
  assert.deepEqual(unix(""), { family: "unix", path: "" });
});

test("version 2 is checked in full", () => {
  assert.equal(fault(v2("11", "11", IPV4)), "is not version 2");
  assert.equal(fault(v2("22", "11", IPV4)), "has the unknown command 2");
  const notTcp = (family: number) => `is not for a TCP connection (family and protocol ${family})`;
  assert.equal(fault(v2("21", "12", IPV4)), notTcp(0x12));
  assert.equal(fault(v2("21", "10", IPV4)), notTcp(0x10));
  assert.equal(fault(v2("21", "41", IPV4)), notTcp(0x41));
  const tooShort = "is too short for its addresses";
  assert.equal(fault(v2("21", "11", IPV4.slice(2))), tooShort);
  assert.equal(fault(v2("21", "11", "")), tooShort);
  assert.equal(fault(v2("21", "21", IPV4)), tooShort);
  assert.equal(fault(v2("21", "31", IPV4)), tooShort);
});

test("TLVs fill the header exactly", () => {
  const of = (tlvs: string) => v2("21", "11", IPV4 + tlvs);
  for (const tlvs of ["040000", "0100026832", "0400010004000100", "ee0000ee0000"]) {
    assert.deepEqual(addresses(of(tlvs)), addressesV4, tlvs);
  }
  for (const tlvs of ["04", "0400", "040001", "01000268", "0100026832ff", "04ffff"]) {
    assert.equal(fault(of(tlvs)), "has a TLV that extends beyond its end", tlvs);
  }
});

test("a CRC-32C must be correct", () => {
  const header = v2("21", "11", IPV4 + "0100026832" + "030004" + "00000000");
  header.writeUInt32BE(crc32c(header), header.length - 4);
  assert.deepEqual(addresses(header), addressesV4);
  for (let i = 16; i < header.length; i++) {
    if (i >= 28 && i < header.length - 4) continue;
    const changed = Buffer.from(header);
    changed[i]! ^= 1;
    assert.equal(fault(changed), "has a wrong CRC-32C");
  }
  assert.equal(fault(v2("21", "11", IPV4 + "030000")), "has a wrong CRC-32C");
  assert.equal(fault(v2("21", "11", IPV4 + "0300050000000000")), "has a wrong CRC-32C");
});

test("our own prefixes can be read back", () => {
  const tls = { version: "TLSv1.3", cipher: "X", serverName: "a.example" };
  const tlvs = new Set(["authority", "ssl", "crc32c"] as const);
  const ends: { client: Endpoint; frontend: Endpoint }[] = [
    addressesV4,
    { client: at("2001:db8::1", 5), frontend: at("2001:db8::2", 6) },
  ];
  for (const kind of ["proxy-v1", "proxy-v2"] as const) {
    for (const both of ends) {
      assert.deepEqual(addresses(prefixBytes(kind, { ...both, tls }, tlvs)), both);
    }
    const unix = { family: "unix", path: "/run/x" } as const;
    const nowhere = prefixBytes(kind, { client: unix, frontend: unix, tls }, tlvs);
    assert.equal(addresses(nowhere), undefined);
  }
});

test("mode pass needs only the header's end", () => {
  const whole = [
    ...["PROXY TCP4 nonsense\r\n", "PROXY \r\n"],
    ...[
      v2("20", "00", ""),
      v2("2f", "ff", "0102"),
      v2("21", "11", ""),
      v2("21", "11", IPV4 + "04"),
    ],
  ];
  for (const header of whole.map((bytes) => Buffer.from(bytes))) {
    assert.deepEqual(readProxyHeader(header, "pass"), { length: header.length });
  }
  assert.equal(fault(v2("11", "11", IPV4), "pass"), "is not version 2");
});

test("the size of a version 2 header is checked before it is complete", () => {
  for (const mode of ["pass", "use"] as const) {
    const start = (length: number) => {
      const bytes = v2("21", "11", "");
      bytes.writeUInt16BE(length, 14);
      return bytes;
    };
    assert.equal(readProxyHeader(start(16_384 - 16), mode), "more");
    assert.equal(fault(start(16_384 - 15), mode), "has 16385 bytes; the limit is 16384");
    assert.equal(fault(start(65_535), mode), "has 65551 bytes; the limit is 16384");
  }
});

test("anything else is not a header", () => {
  const hello = Buffer.from("16030102000100", "hex");
  for (const bytes of [hello, "GET / HTTP/1.1\r\n", "PROXY\t", "proxy ", "\r\n\r\nG", "\0"]) {
    assert.equal(fault(bytes, "pass"), "is missing");
    assert.equal(fault(bytes, "use"), "is missing");
  }
});

/** The result when bytes come in chunks: the first that is not `more`. */
function inChunks(bytes: Uint8Array, ends: readonly number[], mode: Mode) {
  for (const end of [...ends, bytes.length]) {
    const result = readProxyHeader(bytes.subarray(0, end), mode);
    if (result !== "more") return result;
  }
  return "more";
}

test("the result does not depend on how a header is split", () => {
  const tls = { version: "TLSv1.3", cipher: "X", serverName: "a.example" };
  const tlvs = new Set(["authority", "ssl", "crc32c"] as const);
  const headers: Uint8Array[] = [
    prefixBytes("proxy-v1", { ...addressesV4, tls }, tlvs),
    prefixBytes("proxy-v2", { ...addressesV4, tls }, tlvs),
    v2("20", "00", ""),
    Buffer.from("PROXY UNKNOWN\r\n"),
    Buffer.from("GET / HTTP/1.1\r\n"),
    Buffer.from(`PROXY ${"x".repeat(200)}\r\n`),
    v2("22", "11", IPV4),
    v2("21", "11", IPV4 + "04"),
  ];
  for (const header of headers) {
    const glued = Buffer.concat([header, Buffer.from("\x16\x03\x01\r\n\0")]);
    for (const mode of ["pass", "use"] as const) {
      const whole = readProxyHeader(glued, mode);
      assert.notEqual(whole, "more");
      for (let split = 0; split <= glued.length; split++) {
        assert.deepEqual(inChunks(glued, [split], mode), whole);
      }
      const everyByte = Array.from(glued, (_, i) => i);
      assert.deepEqual(inChunks(glued, everyByte, mode), whole);
    }
  }
});

/** Pseudo-random numbers below 2³², the same in every run (xorshift, 32 bits). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

test("20,000 damaged headers yield a result that no split changes", () => {
  const next = numbers(0x5eed);
  const tls = { version: "TLSv1.3", cipher: "X", serverName: "a.example" };
  const tlvs = new Set(["authority", "ssl", "crc32c"] as const);
  const seeds = [
    prefixBytes("proxy-v1", { ...addressesV4, tls }, tlvs),
    prefixBytes("proxy-v2", { ...addressesV4, tls }, tlvs),
    v2("21", "21", "00".repeat(36) + "040003000000"),
    v2("21", "31", "2f78".repeat(108)),
  ];
  const counts = { more: 0, whole: 0, fault: 0 };
  for (let i = 0; i < 20_000; i++) {
    const bytes = Buffer.from(seeds[next() % seeds.length]!);
    for (let changes = next() % 4; changes > 0; changes--) bytes[next() % bytes.length] = next();
    const cut = bytes.subarray(0, next() % 4 === 0 ? next() % bytes.length : bytes.length);
    const mode = next() % 2 === 0 ? "pass" : "use";
    const result = readProxyHeader(cut, mode);
    const splits = [next() % (cut.length + 1), next() % (cut.length + 1)].sort((a, b) => a - b);
    assert.deepEqual(inChunks(cut, splits, mode), result);
    if (result === "more") {
      counts.more++;
      assert.ok(cut.length < 16_384);
    } else if ("fault" in result) {
      counts.fault++;
    } else {
      counts.whole++;
      assert.ok(result.length <= cut.length && result.length <= 16_384);
    }
  }
  for (const [kind, count] of Object.entries(counts)) assert.ok(count > 500, `${count} ${kind}`);
});
