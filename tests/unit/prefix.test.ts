import assert from "node:assert/strict";
import { test } from "node:test";
import { prefixBytes } from "../../src/connection/prefix.ts";
import type { ConnectionInfo } from "../../src/connection/proxy_protocol/write_v2.ts";
import type { PrefixKind, ProxyTlv } from "../../src/options/config.ts";
import type { TlsFacts } from "../../src/runtime/tls.ts";
import type { Endpoint } from "../../src/os/endpoint.ts";
import { at } from "../support/fake_streams.ts";
import { decodeProxyV2 } from "../support/proxy_v2.ts";

const hitchTlvs: readonly ProxyTlv[] = ["alpn", "authority", "hitch-cert", "ssl"];
const allTlvs: readonly ProxyTlv[] = [
  ...["crc32c", "client-cert", "key-alg", "sig-alg", "cn"] as const,
  ...["unique-id", ...hitchTlvs.toReversed()] as const,
];
const unix: Endpoint = { family: "unix", path: "" };
const tls13: TlsFacts = {
  serverName: "site1.example.com",
  version: "TLSv1.3",
  cipher: "TLS_AES_256_GCM_SHA384",
};

function prefix(kind: PrefixKind, client: Endpoint, frontend: Endpoint): Buffer {
  return Buffer.from(prefixBytes(kind, { client, frontend, tls: tls13 }, new Set(hitchTlvs)));
}

function v2(tls: TlsFacts, tlvs: readonly ProxyTlv[], more: Partial<ConnectionInfo> = {}): Buffer {
  const about = { client: at("192.0.2.1", 1), frontend: at("192.0.2.2", 2), tls, ...more };
  return Buffer.from(prefixBytes("proxy-v2", about, new Set(tlvs)));
}

/** Bytes for a certificate that is never parsed. */
function bytes(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i * 7);
}

test("none writes nothing", () => {
  assert.equal(prefix("none", at("::1", 1), at("::1", 2)).length, 0);
});

test("write-ip is the family and the client's address in network order", () => {
  const hex = (client: string) => prefix("write-ip", at(client, 9), at("::1", 2)).toString("hex");
  assert.equal(hex("127.0.0.1"), "027f000001");
  assert.equal(hex("::1"), "0a00000000000000000000000000000001");
  assert.equal(hex("2001:db8::8:1"), "0a20010db8000000000000000000080001");
  assert.equal(hex("::ffff:192.0.2.1"), "02c0000201");
  assert.equal(hex("::ffff:c000:201"), "02c0000201");
});

test("write-ip has 0.0.0.0 for a client at a Unix socket", () => {
  assert.equal(prefix("write-ip", unix, unix).toString("hex"), "0200000000");
});

test("PROXY v1 is one line of text", () => {
  const line = (client: Endpoint, frontend: Endpoint) =>
    prefix("proxy-v1", client, frontend).toString("latin1");
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
  assert.equal(line(unix, { family: "unix", path: "/run/stud.sock" }), "PROXY UNKNOWN\r\n");
});

test("the longest PROXY v1 line is within the limit of 107 bytes", () => {
  const longest = at("1234:5678:9abc:def1:2345:6789:abcd:ef12", 65535);
  assert.equal(prefix("proxy-v1", longest, longest).length, 104);
});

test("PROXY v2 is hitch's, byte for byte", () => {
  const header = prefix("proxy-v2", at("127.0.0.1", 0xb2f2), at("127.0.0.1", 0x480b));
  assert.equal(
    header.toString("hex"),
    "0d0a0d0a000d0a515549540a" + "2111004b" + "7f0000017f000001b2f2480b" +
      "020011" + Buffer.from("site1.example.com").toString("hex") +
      "2000280100000001" + "210007" + Buffer.from("TLSv1.3").toString("hex") +
      "230016" + Buffer.from("TLS_AES_256_GCM_SHA384").toString("hex"),
  );
  assert.equal(header.length, 91);
});

test("PROXY v2 writes TLVs in hitch's order, those that hitch lacks between and after", () => {
  const tls = { ...tls13, alpn: "h2", peer: { der: bytes(500) } };
  const hitch = decodeProxyV2(v2(tls, hitchTlvs.toReversed()));
  assert.deepEqual(hitch.types, [0x01, 0x02, 0xe0, 0x20]);
  assert.deepEqual(hitch.tlsTypes, [0x21, 0x23]);
  const all = decodeProxyV2(v2(tls, allTlvs, { uniqueId: "0123456789abcdef" }));
  assert.deepEqual(all.types, [0x01, 0x02, 0x05, 0xe0, 0x20, 0x03]);
  assert.deepEqual(all.tlsTypes, [0x21, 0x23, 0x28]);
  assert.equal(all.alpn, "h2");
  assert.equal(all.authority, "site1.example.com");
  assert.equal(all.uniqueId, "0123456789abcdef");
  assert.equal(all.tls?.version, "TLSv1.3");
  assert.equal(all.tls?.cipher, "TLS_AES_256_GCM_SHA384");
  assert.deepEqual(all.clientCertificate, Buffer.from(tls.peer.der));
});

test("PROXY v2 writes only the configured TLVs", () => {
  const tls = { ...tls13, alpn: "h2", peer: { der: bytes(500) } };
  const types = (...tlvs: ProxyTlv[]) => {
    const header = decodeProxyV2(v2(tls, tlvs, { uniqueId: "x" }));
    return [header.types, header.tlsTypes];
  };
  assert.deepEqual(types(), [[], []]);
  assert.deepEqual(types("alpn"), [[0x01], []]);
  assert.deepEqual(types("authority"), [[0x02], []]);
  assert.deepEqual(types("unique-id"), [[0x05], []]);
  assert.deepEqual(types("hitch-cert"), [[0xe0], []]);
  assert.deepEqual(types("ssl"), [[0x20], [0x21, 0x23]]);
  assert.deepEqual(types("client-cert"), [[0x20], [0x21, 0x28]]);
  assert.deepEqual(types("crc32c"), [[0x03], []]);
});

test("hitch's client certificate has its size: 1870 where plain PEM has 1854", () => {
  const header = decodeProxyV2(v2({ peer: { der: bytes(1328) } }, hitchTlvs));
  assert.equal(header.hitchCertificate?.length, 1870);
});

test("a client certificate and its verify result are in the SSL TLV", () => {
  const result = (facts: Partial<TlsFacts>) => {
    const { tls } = decodeProxyV2(v2({ ...tls13, ...facts }, ["ssl"]));
    return [tls?.flags, tls?.verify];
  };
  const peer = { der: bytes(500) };
  assert.deepEqual(result({}), [1, 1]);
  assert.deepEqual(result({ resumed: true }), [1, 1]);
  assert.deepEqual(result({ peer, resumed: false }), [7, 0]);
  assert.deepEqual(result({ peer, resumed: true }), [5, 0]);
  assert.deepEqual(result({ peer: { ...peer, verifyError: "CERT_HAS_EXPIRED" } }), [7, 10]);
  assert.deepEqual(result({ peer: { ...peer, verifyError: "CERT_REVOKED" } }), [7, 23]);
  assert.deepEqual(result({ peer: { ...peer, verifyError: "SOMETHING_NEW" } }), [7, 1]);
  assert.deepEqual(result({ peer: { ...peer, verifyError: "OK" } }), [7, 1]);
});

test("PROXY v2 omits what is not known", () => {
  const types = (facts: TlsFacts) => decodeProxyV2(v2(facts, allTlvs)).types;
  assert.deepEqual(types({}), [0x03]);
  assert.deepEqual(types({ alpn: "h2", cipher: "X" }), [0x01, 0x03]);
  const tls = decodeProxyV2(v2({ version: "TLSv1.2" }, allTlvs));
  assert.deepEqual(tls.tlsTypes, [0x21]);
});

test("PROXY v2 checks all sizes", () => {
  const types = (facts: TlsFacts) => decodeProxyV2(v2(facts, hitchTlvs)).types;
  assert.deepEqual(types({ serverName: "x".repeat(255) }), [0x02]);
  assert.deepEqual(types({ serverName: "x".repeat(256) }), []);
  assert.deepEqual(types({ serverName: "é".repeat(128) }), []);
  assert.deepEqual(types({ serverName: "x".repeat(100_000), alpn: "y".repeat(300) }), []);
});

test("a certificate that does not fit is omitted, and all texts remain", () => {
  const longest: TlsFacts = {
    alpn: "a".repeat(255),
    serverName: "n".repeat(255),
    version: "v".repeat(255),
    cipher: "c".repeat(255),
  };
  for (let length = 9_000; length < 17_000; length += 111) {
    const tls = { ...longest, peer: { der: bytes(length) } };
    const written = v2(tls, allTlvs, { uniqueId: "u".repeat(255) });
    const header = decodeProxyV2(written);
    assert.ok(written.length <= 16_384);
    assert.equal(header.length, written.length);
    assert.equal(header.checksum, true);
    assert.deepEqual(header.types.filter((type) => type !== 0xe0), [0x01, 0x02, 0x05, 0x20, 0x03]);
    assert.equal(header.tls?.cipher, longest.cipher);
    if (length > 16_384) assert.deepEqual(header.tlsTypes, [0x21, 0x23]);
  }
  const largest = decodeProxyV2(v2({ ...tls13, peer: { der: bytes(15_000) } }, ["client-cert"]));
  assert.equal(largest.clientCertificate?.length, 15_000);
});

test("the checksum covers the whole header", () => {
  for (let name = 1; name < 20; name++) {
    const tls = { ...tls13, serverName: "x".repeat(name) };
    assert.equal(decodeProxyV2(v2(tls, ["authority", "ssl", "crc32c"])).checksum, true);
  }
});

test("with a Unix socket at either end, the header has no addresses but all TLVs", () => {
  for (const ends of [{ client: unix }, { frontend: unix }, { client: unix, frontend: unix }]) {
    const written = v2(tls13, ["authority", "ssl", "crc32c"], ends);
    const header = decodeProxyV2(written);
    assert.equal(written[13], 0);
    assert.equal(header.source, undefined);
    assert.equal(header.authority, "site1.example.com");
    assert.equal(header.checksum, true);
  }
});

test("PROXY v2 writes both ends in one family", () => {
  const hosts = (client: string, frontend: string) => {
    const ends = { client: at(client, 1), frontend: at(frontend, 2) };
    const { source, destination } = decodeProxyV2(v2({}, [], ends));
    assert.deepEqual([source?.port, destination?.port], [1, 2]);
    return [source?.host, destination?.host];
  };
  assert.deepEqual(hosts("2001:db8::1", "::1"), ["2001:db8::1", "::1"]);
  assert.deepEqual(hosts("::ffff:192.0.2.1", "::ffff:192.0.2.2"), ["192.0.2.1", "192.0.2.2"]);
  assert.deepEqual(hosts("192.0.2.1", "::ffff:192.0.2.2"), ["192.0.2.1", "192.0.2.2"]);
  assert.deepEqual(hosts("::ffff:192.0.2.1", "::1"), ["::ffff:c000:201", "::1"]);
  assert.deepEqual(hosts("fe80::1", "192.0.2.2"), ["fe80::1", "::ffff:c000:202"]);
});
