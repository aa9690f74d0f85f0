import assert from "node:assert/strict";
import { test } from "node:test";
import { prefixBytes } from "../../src/connection/prefix.ts";
import type { IpEndpoint, TlsFacts } from "../../src/runtime/types.ts";

function at(address: string, port: number): IpEndpoint {
  return { family: address.includes(":") ? 6 : 4, address, port };
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");
const tls13: TlsFacts = {
  serverName: "site1.example.com",
  version: "TLSv1.3",
  cipher: "TLS_AES_256_GCM_SHA384",
};

/** Reads a version 2 header strictly; every byte must be accounted for. */
function decodeV2(bytes: Uint8Array) {
  const buffer = Buffer.from(bytes);
  assert.equal(buffer.toString("hex", 0, 13), "0d0a0d0a000d0a515549540a21");
  const size = { 0x11: 4, 0x21: 16 }[buffer[13]!]!;
  assert.equal(buffer.readUInt16BE(14), buffer.length - 16);
  const tlvs = 16 + 2 * size + 4;
  return {
    source: buffer.toString("hex", 16, 16 + size),
    destination: buffer.toString("hex", 16 + size, 16 + 2 * size),
    ports: [buffer.readUInt16BE(tlvs - 4), buffer.readUInt16BE(tlvs - 2)],
    tlvs: decodeTlvs(buffer.subarray(tlvs)),
  };
}

function decodeTlvs(buffer: Buffer): { type: number; value: Buffer }[] {
  const tlvs = [];
  for (let at = 0; at < buffer.length;) {
    const end = at + 3 + buffer.readUInt16BE(at + 1);
    assert.ok(end <= buffer.length);
    tlvs.push({ type: buffer[at]!, value: buffer.subarray(at + 3, end) });
    at = end;
  }
  return tlvs;
}

test("none writes nothing", () => {
  assert.equal(prefixBytes("none", at("::1", 1), at("::1", 2), {}).length, 0);
});

test("write-ip is the family and the client's address in network order", () => {
  const bytes = (client: string) => hex(prefixBytes("write-ip", at(client, 9), at("::1", 2), {}));
  assert.equal(bytes("127.0.0.1"), "027f000001");
  assert.equal(bytes("::1"), "0a00000000000000000000000000000001");
  assert.equal(bytes("2001:db8::8:1"), "0a20010db8000000000000000000080001");
  assert.equal(bytes("::ffff:192.0.2.1"), "02c0000201");
  assert.equal(bytes("::ffff:c000:201"), "02c0000201");
});

test("PROXY v1 is one line of text", () => {
  const line = (client: IpEndpoint, frontend: IpEndpoint) =>
    text(prefixBytes("proxy-v1", client, frontend, tls13));
  assert.equal(
    line(at("127.0.0.1", 43680), at("127.0.0.1", 18444)),
    "PROXY TCP4 127.0.0.1 127.0.0.1 43680 18444\r\n",
  );
  assert.equal(line(at("::1", 33450), at("::1", 18444)), "PROXY TCP6 ::1 ::1 33450 18444\r\n");
  assert.equal(
    line(at("::ffff:192.0.2.1", 1), at("::ffff:10.0.0.2", 65535)),
    "PROXY TCP4 192.0.2.1 10.0.0.2 1 65535\r\n",
  );
  assert.equal(
    line(at("192.0.2.1", 1), at("2001:DB8:0:0:0:0:0:2", 2)),
    "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n",
  );
});

test("the longest PROXY v1 line is within the limit of 107 bytes", () => {
  const longest = at("1234:5678:9abc:def1:2345:6789:abcd:ef12", 65535);
  assert.equal(prefixBytes("proxy-v1", longest, longest, {}).length, 104);
});

test("PROXY v2 carries the name, version and cipher", () => {
  const client = at("127.0.0.1", 0xb2f2);
  const bytes = prefixBytes("proxy-v2", client, at("127.0.0.1", 0x480b), tls13);
  assert.equal(
    hex(bytes),
    "0d0a0d0a000d0a515549540a" + "2111004b" + "7f0000017f000001b2f2480b" +
      "020011" + hex(Buffer.from("site1.example.com")) +
      "2000280100000001" + "210007" + hex(Buffer.from("TLSv1.3")) +
      "230016" + hex(Buffer.from("TLS_AES_256_GCM_SHA384")),
  );
  assert.equal(bytes.length, 91);
});

test("PROXY v2 keeps the order ALPN, authority, SSL", () => {
  const facts = { ...tls13, alpn: "h2" };
  const header = decodeV2(prefixBytes("proxy-v2", at("2001:db8::1", 1), at("::1", 443), facts));
  assert.equal(header.source, "20010db8000000000000000000000001");
  assert.equal(header.destination, "0".repeat(31) + "1");
  assert.deepEqual(header.ports, [1, 443]);
  assert.deepEqual(header.tlvs.map(({ type }) => type), [0x01, 0x02, 0x20]);
  assert.equal(header.tlvs[0]!.value.toString(), "h2");
  assert.equal(header.tlvs[1]!.value.toString(), "site1.example.com");
  const ssl = header.tlvs[2]!.value;
  assert.equal(ssl.toString("hex", 0, 5), "0100000001");
  assert.deepEqual(
    decodeTlvs(ssl.subarray(5)).map(({ type, value }) => [type, value.toString()]),
    [[0x21, "TLSv1.3"], [0x23, "TLS_AES_256_GCM_SHA384"]],
  );
});

test("PROXY v2 leaves out what is not known", () => {
  const tlvs = (facts: TlsFacts) =>
    decodeV2(prefixBytes("proxy-v2", at("192.0.2.1", 1), at("192.0.2.2", 2), facts)).tlvs;
  assert.deepEqual(tlvs({}), []);
  assert.deepEqual(tlvs({ alpn: "h2", cipher: "X" }).map(({ type }) => type), [0x01]);
  assert.equal(tlvs({ version: "TLSv1.2" })[0]!.value.toString("hex", 0, 8), "0100000001210007");
});

test("PROXY v2 trusts no sizes", () => {
  const types = (facts: TlsFacts) =>
    decodeV2(prefixBytes("proxy-v2", at("192.0.2.1", 1), at("192.0.2.2", 2), facts)).tlvs
      .map(({ type, value }) => [type, value.length]);
  assert.deepEqual(types({ serverName: "x".repeat(255) }), [[0x02, 255]]);
  assert.deepEqual(types({ serverName: "x".repeat(256) }), []);
  assert.deepEqual(types({ serverName: "é".repeat(128) }), []);
  assert.deepEqual(types({ serverName: "x".repeat(100_000), alpn: "y".repeat(300) }), []);
});

test("PROXY v2 writes both ends in one family", () => {
  const header = (client: string, frontend: string) => {
    const { source, destination } = decodeV2(
      prefixBytes("proxy-v2", at(client, 1), at(frontend, 2), {}),
    );
    return [source, destination];
  };
  const mapped = "00000000000000000000ffff";
  assert.deepEqual(header("::ffff:192.0.2.1", "::ffff:192.0.2.2"), ["c0000201", "c0000202"]);
  assert.deepEqual(header("192.0.2.1", "::ffff:192.0.2.2"), ["c0000201", "c0000202"]);
  assert.deepEqual(header("::ffff:192.0.2.1", "::1"), [`${mapped}c0000201`, "0".repeat(31) + "1"]);
  assert.deepEqual(header("fe80::1", "192.0.2.2"), [
    "fe80" + "0".repeat(27) + "1",
    `${mapped}c0000202`,
  ]);
});
