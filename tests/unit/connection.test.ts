import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { generate } from "selfsigned";
import type { ClientTrust } from "../../src/connection/client_trust.ts";
import type { Connection } from "../../src/connection/connection.ts";
import type { Connections } from "../../src/connection/connections.ts";
import type { ConnectionSettings } from "../../src/connection/settings.ts";
import type { Endpoint } from "../../src/os/endpoint.ts";
import type { ClientTlsContext, TlsFacts } from "../../src/runtime/tls.ts";
import type { Failure } from "../../src/runtime/failure.ts";
import {
  at,
  backendAt,
  clientAt,
  fakeConnections,
  FakeStream,
  frontendAt,
} from "../support/fake_streams.ts";
import { decodeProxyV2 } from "../support/proxy_v2.ts";

const text = new TextEncoder();
const reset: Failure = { code: "ECONNRESET", message: "connection reset" };
const unix: Endpoint = { family: "unix", path: "" };
const header = "PROXY TCP4 203.0.113.9 203.0.113.10 1111 2222\r\n";

/** An accepted client, with everything that it causes. */
function accept(
  settings: Partial<ConnectionSettings> = {},
  facts: TlsFacts = {},
  trust?: ClientTrust,
  remote: Endpoint = clientAt,
) {
  const all = fakeConnections(settings);
  const client: FakeStream = new FakeStream(undefined!, remote, frontendAt, facts);
  client.handler = all.connections.accept(client, 0, trust);
  const send = (bytes: string) => client.handler.received(client, text.encode(bytes));
  const codes = () => all.failures.map(({ source, code }) => `${source} ${code}`);
  const backend = () => all.connects[0]!.stream;
  return { ...all, client, send, codes, backend };
}

/** An accepted client whose handshake is done. */
function open(...args: Parameters<typeof accept>) {
  const accepted = accept(...args);
  accepted.client.handler.opened(accepted.client);
  return accepted;
}

function strings(stream: FakeStream): string[] {
  return stream.written.map((bytes) => new TextDecoder().decode(bytes));
}

const passes = { acceptProxy: { mode: "pass", trusted: [] } } as const;
const uses = { acceptProxy: { mode: "use", trusted: ["192.0.2.0/24"] } } as const;

test("a stream that closes within the call that resets it does not close its connection twice", () => {
  for (const first of ["client", "backend"] as const) {
    const { client, backend, connections, closed, clock } = open();
    client.handler.opened(backend());
    const [failed, other] = first === "client" ? [client, backend()] : [backend(), client];
    other.reset = () => client.handler.closed(other, undefined);
    client.handler.closed(failed, reset);
    clock.advance(200);
    assert.equal(closed.length, 1);
    assert.equal(connections.open, 0);
  }
});

test("what a backend sent is delivered before its reset is passed on", () => {
  for (const waits of [{ isSending: true }, { isAcknowledged: false }]) {
    const { client, backend, clock, codes, send, closed } = open();
    client.handler.opened(backend());
    Object.assign(client, waits);
    client.handler.closed(backend(), reset);
    assert.deepEqual(codes(), ["backend backend-reset"]);
    clock.advance(1000);
    send("more");
    assert.ok(!client.calls.some((call) => /reset|finish|close/.test(call)));
    Object.assign(client, { isSending: false, isAcknowledged: true });
    clock.advance(400);
    assert.equal(client.calls.at(-1), "reset");
    client.handler.closed(client, undefined);
    assert.equal(closed.length, 1);
    clock.advance(600_000);
    assert.equal(codes().length, 1);
  }
});

test("a client that does not take the answer of a lost backend is cut in the end", () => {
  const { client, backend, clock } = open();
  client.handler.opened(backend());
  client.isSending = true;
  client.handler.closed(backend(), reset);
  clock.advance(99_000);
  assert.ok(!client.calls.includes("reset"));
  clock.advance(1000);
  assert.equal(client.calls.at(-1), "reset");
});

test("a client that is sending is reset once it pauses, so that it can read the answer", () => {
  const { client, backend, clock, send } = open();
  client.handler.opened(backend());
  backend().hasRoom = false;
  send("upload");
  client.handler.closed(backend(), reset);
  for (let i = 0; i < 20; i++) {
    send("more");
    clock.advance(50);
    assert.ok(!client.calls.includes("reset"));
  }
  clock.advance(200);
  assert.equal(client.calls.at(-1), "reset");
});

test("what a client sent is delivered before its reset is passed on", () => {
  const { client, backend, clock, codes } = open();
  client.handler.opened(backend());
  backend().isAcknowledged = false;
  client.handler.closed(client, reset);
  assert.deepEqual(codes(), ["client client-reset"]);
  assert.ok(!backend().calls.includes("reset"));
  backend().isAcknowledged = true;
  clock.advance(200);
  assert.equal(backend().calls.at(-1), "reset");
});

test("a client that is lost after the backend's end does not end its upload in order", () => {
  for (const hasEnded of [false, true]) {
    const { client, backend, codes } = open();
    client.handler.opened(backend());
    backend().handler.ended(backend());
    if (hasEnded) client.handler.ended(client);
    client.handler.closed(client, reset);
    assert.equal(backend().calls.at(-1), hasEnded ? "close" : "reset");
    assert.deepEqual(codes(), []);
  }
});

test("the rest of an upload is sent to a backend that has answered already", () => {
  const { client, backend, clock, codes } = open();
  client.handler.opened(backend());
  backend().handler.ended(backend());
  backend().isSending = true;
  client.handler.ended(client);
  client.handler.closed(client, undefined);
  assert.equal(backend().calls.at(-1), "finish");
  clock.advance(100_000);
  assert.equal(backend().calls.at(-1), "reset");
  assert.deepEqual(codes(), ["backend half-close-timeout"]);
});

test("a TLS backend's end without close_notify is a truncation, where it is known", () => {
  const backendTls = {} as ClientTlsContext;
  for (const hasCloseNotify of [true, false, undefined]) {
    const { client, backend, codes, clock } = open({ backendTls });
    client.handler.opened(backend());
    backend().hasCloseNotify = hasCloseNotify;
    backend().handler.ended(backend());
    clock.advance(200);
    const isCut = hasCloseNotify === false;
    assert.deepEqual(codes(), isCut ? ["backend backend-truncated"] : []);
    assert.equal(client.calls.at(-1), isCut ? "reset" : "finish");
    assert.equal(backend().calls.includes("reset"), isCut);
  }
});

test("an end within a TLS record has its own code", () => {
  const truncated: Failure = { code: "ERR_TRUNCATED", message: "ended within a record" };
  for (const side of ["client", "backend"] as const) {
    const { client, backend, codes } = open();
    client.handler.opened(backend());
    client.handler.closed(side === "client" ? client : backend(), truncated);
    assert.deepEqual(codes(), [`${side} ${side}-truncated`]);
  }
});

test("a half-closed connection that ends names the side that does not read", () => {
  const cases = [
    ["client", "isSending", "client the client does not read what it is sent"],
    ["client", "isAcknowledged", "client the client does not read what it is sent"],
    ["backend", "isSending", "backend the backend does not read what it is sent"],
    ["", "", "backend the backend never answered"],
  ] as const;
  for (const [side, property, expected] of cases) {
    const { client, backend, clock, failures } = open();
    client.handler.opened(backend());
    const blocked = side === "client" ? client : backend();
    if (property !== "") blocked[property] = property === "isSending";
    client.handler.ended(client);
    clock.advance(100_000);
    assert.deepEqual(failures.map(({ source, cause }) => `${source} ${cause}`), [expected]);
    assert.deepEqual([client.calls.at(-1), backend().calls.at(-1)], ["reset", "reset"]);
  }
});

/** Makes the handler of failures throw. */
function breakEvents({ events }: Connections): void {
  Object.assign(events, {
    failed() {
      throw new Error("a fault");
    },
  });
}

test("a fault at the connect to the backend leaks nothing", () => {
  const { client, connections, closed, codes } = accept();
  connections.connect = () => {
    throw new Error("a fault");
  };
  assert.throws(() => client.handler.opened(client), /a fault/);
  client.handler.closed(client, { code: "ERR_INTERNAL", message: "a fault" });
  assert.deepEqual([closed.length, connections.open], [1, 0]);
  assert.deepEqual(codes(), ["internal internal-error"]);
});

test("a fault when one side closes resets the other, and the connection closes once", () => {
  for (const first of ["client", "backend"] as const) {
    const { client, backend, connections, closed } = open();
    client.handler.opened(backend());
    breakEvents(connections);
    const [failed, other] = first === "client" ? [client, backend()] : [backend(), client];
    assert.throws(() => client.handler.closed(failed, reset), /a fault/);
    assert.deepEqual(other.calls.at(-1), "reset");
    assert.equal(connections.open, 1);
    client.handler.closed(other, undefined);
    assert.deepEqual([closed.length, connections.open], [1, 0]);
  }
});

test("a client that cannot be accepted is not counted", () => {
  const limits = { handshakes: 1, sourceConnections: 0, sourceRate: 0 };
  const { connections, closed } = accept({ limits });
  breakEvents(connections);
  const second = new FakeStream(undefined!, clientAt, frontendAt);
  assert.throws(() => connections.accept(second), /a fault/);
  assert.deepEqual([closed.length, connections.open], [1, 1]);
});

test("a connection reads no facts of its TLS session unless it needs them", () => {
  const { client, connects, established } = accept();
  client.tls = () => assert.fail("asked");
  client.handler.opened(client);
  client.handler.opened(connects[0]!.stream);
  assert.equal(established.length, 1);
});

test("a header that is passed on is sent to the backend first", () => {
  const { client, send, backend } = accept({ ...passes, prefix: "none" });
  send(header);
  assert.deepEqual(client.calls, ["startTls"]);
  assert.equal(client.early?.length, 0);
  client.handler.opened(client);
  send("hello");
  assert.deepEqual(strings(backend()), [header, "hello"]);
  assert.equal((client.handler as Connection).clientName, "192.0.2.1:40000");
});

test("a header may arrive byte by byte", () => {
  const { client, send, backend } = accept(passes);
  for (const byte of header) {
    assert.deepEqual(client.calls, []);
    send(byte);
  }
  assert.deepEqual(client.calls, ["startTls"]);
  client.handler.opened(client);
  assert.deepEqual(strings(backend()), [header]);
});

test("bytes after the header's end belong to TLS", () => {
  for (const split of [0, 1, 20, header.length - 1, header.length]) {
    const { client, send } = accept(passes);
    if (split > 0) send(header.slice(0, split));
    const rest = header.slice(split) + "ClientHello";
    if (split < header.length) send(rest);
    assert.deepEqual(client.calls, ["startTls"]);
    const expected = split < header.length ? "ClientHello" : "";
    assert.equal(new TextDecoder().decode(client.early), expected);
  }
});

test("a reused chunk does not change the header", () => {
  const { client, backend } = accept(passes);
  const chunk = new Uint8Array(header.length);
  for (const part of [header.slice(0, 10), header.slice(10)]) {
    text.encodeInto(part, chunk);
    client.handler.received(client, chunk.subarray(0, part.length));
    chunk.fill(0);
  }
  client.handler.opened(client);
  assert.deepEqual(strings(backend()), [header]);
});

test("in mode use the header's addresses are the client's, in log and prefix", () => {
  const { client, send, backend } = accept({ ...uses, prefix: "proxy-v1" });
  send(header);
  client.handler.opened(client);
  assert.deepEqual(strings(backend()), [header]);
  const connection = client.handler as Connection;
  assert.equal(connection.clientName, "203.0.113.9:1111");
  assert.deepEqual(connection.facts, { connection: 1, client: "203.0.113.9:1111" });
});

test("with a header without addresses the real ones are used", () => {
  const { client, send, backend } = accept({ ...uses, prefix: "proxy-v1" });
  send("PROXY UNKNOWN\r\n");
  client.handler.opened(client);
  assert.deepEqual(strings(backend()), ["PROXY TCP4 192.0.2.1 192.0.2.2 40000 443\r\n"]);
});

test("a peer that is not trusted is reset and not read", async () => {
  for (const remote of [at("198.51.100.1", 1), unix]) {
    const { client, send, codes, closed, failures } = accept(uses, {}, undefined, remote);
    send(header);
    await Promise.resolve();
    send(header);
    assert.deepEqual(client.calls, ["reset"]);
    assert.deepEqual(codes(), ["client untrusted-proxy"]);
    assert.match(failures[0]!.cause, /--trusted-proxies/);
    client.handler.closed(client, undefined);
    assert.equal(closed.length, 1);
  }
});

test("a Unix socket's peer is trusted by `unix`", () => {
  const settings = { acceptProxy: { mode: "use", trusted: ["unix"] } } as const;
  const { client, send } = accept(settings, {}, undefined, unix);
  send(header);
  assert.deepEqual(client.calls, ["startTls"]);
});

test("a client that sends no header is reset, and nothing reaches the backend", () => {
  for (const settings of [passes, uses]) {
    const { client, send, codes, failures, connects } = accept(settings);
    send("\x16\x03\x01");
    send(header);
    assert.deepEqual(client.calls, ["reset"]);
    assert.deepEqual(codes(), ["client proxy-header"]);
    assert.equal(failures[0]!.cause, "the PROXY header is missing");
    client.handler.closed(client, undefined);
    assert.equal(connects.length, 0);
  }
});

test("a connection whose client closes within the header is closed", () => {
  const { client, send, codes, closed } = accept(passes);
  send("PROXY");
  client.handler.closed(client, reset);
  assert.deepEqual(codes(), ["client handshake-failed"]);
  assert.equal(closed.length, 1);
});

test("the handshake timeout starts at accept, and covers the header", () => {
  const { clock, connections, client, send, codes } = accept(passes);
  clock.advance(6_000);
  send("PROXY");
  clock.advance(3_000);
  send(header.slice(5));
  clock.advance(999);
  assert.deepEqual(client.calls, ["startTls"]);
  clock.advance(1);
  assert.deepEqual(client.calls, ["startTls", "reset"]);
  assert.deepEqual(codes(), ["client handshake-timeout"]);
  client.handler.closed(client, undefined);
  assert.equal(connections.open, 0);
});

test("a client that waits for a greeting gets a cause of its own, unlike one that is slow", () => {
  const { clock, client, failures } = accept();
  client.peerHasSent = false;
  clock.advance(10_000);
  assert.match(failures[0]!.cause, /sent nothing in time; .*greeting/);
});

test("a client that sends nothing before its header is reset after the handshake timeout", () => {
  const { clock, client, codes } = accept(uses);
  clock.advance(10_000);
  assert.deepEqual(client.calls, ["reset"]);
  assert.deepEqual(codes(), ["client handshake-timeout"]);
});

test("a client that leaves without having asked for anything is counted apart", () => {
  const fin: Failure = { code: "ECONNRESET", message: "", fault: "closed" };
  const gone = at("0.0.0.0", 0);
  const cases: [settings: Partial<ConnectionSettings>, sent: string[], remote?: Endpoint][] = [
    [passes, []],
    [uses, []],
    // A proxy's own health check.
    [passes, ["PROXY UNKNOWN\r\n"]],
    [uses, ["PROXY UNKNOWN\r\n"]],
    [{}, [], gone],
    [uses, [], gone],
  ];
  for (const [settings, sent, remote] of cases) {
    for (const failure of [fin, reset]) {
      const { client, send, codes } = accept(settings, {}, undefined, remote);
      for (const bytes of sent) send(bytes);
      client.handler.closed(client, failure);
      // The fault of a reset is the adapter's to report once TLS has started.
      const isKnown = remote !== undefined || sent.length === 0 || failure === fin;
      assert.deepEqual(codes(), [`client ${isKnown ? "client-left" : "handshake-failed"}`]);
    }
  }
  const { client, send, codes } = accept(uses);
  send(header);
  client.handler.closed(client, fin);
  assert.deepEqual(codes(), ["client handshake-failed"]);
});

test("in client mode, so is one that resets before its first byte", () => {
  const plain = open({ backendTls });
  plain.client.handler.opened(plain.backend());
  plain.client.handler.closed(plain.client, reset);
  assert.deepEqual(plain.codes(), ["client client-left"]);
  const talking = open({ backendTls });
  talking.client.handler.opened(talking.backend());
  talking.send("hello");
  talking.client.handler.closed(talking.client, reset);
  assert.deepEqual(talking.codes(), ["client client-reset"]);
});

test("a client that had left before it was accepted has no address in the log", () => {
  const { client, failures } = accept({}, {}, undefined, at("0.0.0.0", 0));
  assert.equal((client.handler as Connection).clientName, "a client that had already left");
  client.handler.closed(client, reset);
  assert.equal(failures[0]!.cause, "the client left before it was accepted");
});

test("a name without a certificate is reported as the cause", () => {
  const { client, failures } = accept();
  client.handler.closed(client, { code: "", message: "unrecognized server name" });
  const cause = "unrecognized server name";
  assert.deepEqual(failures, [{ source: "client", code: "handshake-failed", cause }]);
});

const peer = { der: Uint8Array.of(1) };
const bad = { ...peer, verifyError: "CERT_REVOKED" };
const trusting = (mode: "none" | "optional" | "required", isMixed = false): ClientTrust => ({
  verifyMode: () => mode,
  isMixed,
});

test("a client that is not trusted never reaches the backend", () => {
  const revoked = "certificate not trusted: it is revoked";
  const resumed = "resumed a session, which is refused where names verify clients differently";
  const cases: [trust: ClientTrust, facts: TlsFacts, cause: string][] = [
    [trusting("required"), {}, "no certificate"],
    [trusting("required"), { resumed: true }, "no certificate"],
    [trusting("required"), { peer: bad }, revoked],
    [trusting("optional"), { peer: bad }, revoked],
    [trusting("required", true), { peer, resumed: true }, resumed],
    [trusting("optional", true), { resumed: true }, resumed],
    [trusting("none", true), { resumed: true }, resumed],
  ];
  for (const [trust, facts, cause] of cases) {
    const { client, send, connects, failures, connections, closed } = open({}, facts, trust);
    assert.deepEqual(failures, [{ source: "client", code: "client-certificate", cause }]);
    send("hello");
    assert.deepEqual(client.calls, ["finish"]);
    client.handler.ended(client);
    client.handler.closed(client, undefined);
    assert.equal(connects.length, 0);
    assert.equal(closed.length, 1);
    assert.equal(connections.open, 0);
  }
});

test("a client that is trusted reaches the backend", () => {
  const cases: [trust: ClientTrust, facts: TlsFacts][] = [
    [trusting("required"), { peer }],
    [trusting("required"), { peer, resumed: true }],
    [trusting("required", true), { peer, resumed: false }],
    [trusting("optional"), {}],
    [trusting("optional"), { peer }],
    [trusting("none"), {}],
    [trusting("none"), { resumed: true }],
  ];
  for (const [trust, facts] of cases) {
    const { connects, failures } = open({}, facts, trust);
    assert.deepEqual(failures, []);
    assert.equal(connects.length, 1);
  }
});

test("the verify mode is looked up by the client's server name", () => {
  const names: string[] = [];
  const trust: ClientTrust = {
    verifyMode: (name) => names.push(name) === 1 ? "required" : "none",
    isMixed: true,
  };
  assert.deepEqual(open({}, { serverName: "Admin.example" }, trust).codes(), [
    "client client-certificate",
  ]);
  assert.deepEqual(open({}, {}, trust).codes(), []);
  assert.deepEqual(names, ["Admin.example", ""]);
});

test("a client that is not trusted is closed after the half-close timeout", () => {
  const { clock, client, send, codes } = open({}, {}, trusting("required"));
  clock.advance(9_000);
  send("still here");
  clock.advance(1_000);
  assert.deepEqual(client.calls, ["finish", "close"]);
  assert.deepEqual(codes(), ["client client-certificate"]);
});

test("a client that is not trusted and resets causes no second failure", () => {
  const { client, codes, closed } = open({}, {}, trusting("required"));
  client.handler.closed(client, reset);
  assert.deepEqual(codes(), ["client client-certificate"]);
  assert.equal(closed.length, 1);
});

test("only a verified certificate's common name is used", async () => {
  const { cert } = await generate([{ name: "commonName", value: "alice" }], { keyType: "ec" });
  const der = new X509Certificate(cert).raw;
  const name = (facts: TlsFacts, trust?: ClientTrust) =>
    (open({}, facts, trust).client.handler as Connection).clientCommonName;
  assert.equal(name({ peer: { der } }, trusting("optional")), "alice");
  assert.equal(name({ peer: { der, verifyError: "CERT_REVOKED" } }, trusting("none")), undefined);
  assert.equal(name({}, trusting("optional")), undefined);
  assert.equal(name({ peer: { der } }), undefined);
});

const backendTls = {} as ClientTlsContext;

test("client mode connects with TLS; its handshake failures are the backend's", () => {
  const { client, connects, failures } = open({ backendTls });
  assert.equal(connects[0]!.tls, backendTls);
  const failure = { code: "CERT_HAS_EXPIRED", message: "certificate has expired" };
  client.handler.closed(connects[0]!.stream, failure);
  const cause = "certificate has expired";
  assert.deepEqual(failures, [{ source: "backend", code: "backend-handshake", cause }]);
  assert.deepEqual(client.calls, ["finish"]);
});

test("client mode distinguishes a failed connect from a failed handshake", () => {
  const code = (settings: Partial<ConnectionSettings>, failure: Failure) => {
    const { client, backend, codes } = open(settings);
    client.handler.closed(backend(), failure);
    return codes()[0];
  };
  const refused = { code: "ECONNREFUSED", message: "" };
  assert.equal(code({ backendTls }, refused), "backend backend-refused");
  assert.equal(code({ backendTls }, reset), "backend backend-handshake");
  assert.equal(code({}, reset), "backend backend-unreachable");
});

test("if the backend cannot be connected, the client is finished at once and in order", () => {
  const failures: [errno: string, code: string][] = [
    ["ECONNREFUSED", "backend backend-refused"],
    ["EAGAIN", "backend backend-refused"],
    ["ETIMEDOUT", "backend backend-timeout"],
    ["ENETUNREACH", "backend backend-unreachable"],
    ["ECONNRESET", "backend backend-unreachable"],
    ["EADDRNOTAVAIL", "internal backend-no-ports"],
  ];
  for (const [errno, expected] of failures) {
    const { client, backend, codes } = open();
    client.handler.closed(backend(), { code: errno, message: errno });
    assert.deepEqual(client.calls, ["finish"], errno);
    assert.deepEqual(codes(), [expected]);
  }
});

test("the connect timeout covers the backend's handshake", () => {
  const { clock, backend, failures } = open({ backendTls });
  clock.advance(10_000);
  const cause = "no TLS connection in time";
  assert.deepEqual(failures, [{ source: "backend", code: "backend-timeout", cause }]);
  assert.deepEqual(backend().calls, ["reset"]);
});

test("new connections go to a new backend, from sources of its family", () => {
  const sources = [at("192.0.2.7", 0), at("2001:db8::7", 0), at("192.0.2.8", 0)];
  const { connections, connects } = fakeConnections({ backendSources: sources });
  const connect = () => {
    const client: FakeStream = new FakeStream(undefined!, clientAt, frontendAt);
    client.handler = connections.accept(client);
    client.handler.opened(client);
    const { stream, source } = connects.at(-1)!;
    return [stream.remote, source?.address];
  };
  const first = [connect(), connect(), connect()];
  assert.deepEqual(first.map(([backend]) => backend), [backendAt, backendAt, backendAt]);
  const used = first.map(([, source]) => source);
  assert.deepEqual([...new Set(used)].sort(), ["192.0.2.7", "192.0.2.8"]);
  const backends: [backend: Endpoint, source: string | undefined][] = [
    [at("2001:db8::3", 80), "2001:db8::7"],
    [{ family: "unix", path: "/run/backend.sock" }, undefined],
  ];
  for (const [backend, source] of backends) {
    connections.backend = backend;
    assert.deepEqual(connect(), [backend, source]);
  }
});

test("a client at a Unix socket has a name but no address", () => {
  const { client, backend } = open({ prefix: "proxy-v1" }, {}, undefined, unix);
  assert.equal((client.handler as Connection).clientName, "unix:");
  assert.deepEqual(strings(backend()), ["PROXY UNKNOWN\r\n"]);
});

test("each connection has its own unique identifier, in log and prefix", () => {
  const settings = { prefix: "proxy-v2", proxyTlvs: ["unique-id"] } as const;
  const ids = [1, 2].map(() => {
    const { client, backend } = open(settings);
    const { uniqueId } = decodeProxyV2(Buffer.from(backend().written[0]!));
    assert.match(uniqueId!, /^[0-9a-f]{32}$/);
    assert.equal((client.handler as Connection).facts.uniqueId, uniqueId);
    return uniqueId;
  });
  assert.notEqual(ids[0], ids[1]);
});
