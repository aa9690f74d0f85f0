/**
 * The contract of src/runtime/, run against the adapter of the runtime that executes this file. Peers
 * are node:net and node:tls in the same process, `openssl s_client`, and plain sockets of the C
 * library where a peer must do nothing.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import * as net from "node:net";
import * as runtime from "#runtime";
import { sockaddr } from "../../src/os/sockaddr.ts";
import { cInt } from "../../src/os/structures.ts";
import { SO_LINGER } from "../../src/os/constants.ts";
import { SOL_SOCKET } from "../../src/os/constants.ts";
import { SOCK_CLOEXEC } from "../../src/os/constants.ts";
import { SOCK_NONBLOCK } from "../../src/os/constants.ts";
import { SOCK_STREAM } from "../../src/os/constants.ts";
import { AF_INET } from "../../src/os/constants.ts";
import { MAX_EARLY_BYTES } from "../../src/runtime/stream.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { Libc } from "../../src/os/libc.ts";
import type { Failure } from "../../src/runtime/failure.ts";
import type { IpEndpoint } from "../../src/os/endpoint.ts";
import {
  bareSocket,
  boundPort,
  collect,
  digest,
  echoServer,
  endpointOf,
  freePort,
  ip,
  listen,
  loopback,
  ownSockets,
  pause,
  Recorder,
  recorders,
  relayTo,
  sClient,
  server,
  settingsWith,
  settled,
  subject,
  text,
  tlsClient,
  until,
} from "../support/adapter.ts";

const { name, capabilities, connect, createTlsContext }: Runtime = runtime;
const libc: Libc = runtime.libc;
const limit = { timeout: 60_000 };
const KiB = 1024;
const MiB = 1024 * KiB;

test("reports its name, versions and command", () => {
  assert.match(name, /^(bun|deno|node)$/);
  assert.match(runtime.versions().runtime, /^[A-Z][A-Za-z.]+ \d+\.\d+\.\d+/);
  assert.match(runtime.versions().tls, /^[A-Za-z]+/);
  assert.equal(runtime.self[0], process.execPath);
});

test("the reported version of Deno's TLS library is in Deno's binary", () => {
  if (!runtime.versions().tls.startsWith("rustls")) return;
  const [, rustls, awsLc] = /^rustls (\S+) with aws-lc-rs (\S+)$/.exec(runtime.versions().tls)!;
  const binary = readFileSync(process.execPath);
  for (const crate of [`rustls-${rustls}/`, `aws-lc-rs-${awsLc}/`]) {
    assert.ok(binary.includes(crate), crate);
  }
});

test("libc reports the errno of a failure", () => {
  assert.equal(libc.close(-1), -1);
  assert.equal(libc.errno(), 9);
});

for (const size of [0, 1, 16 * KiB - 1, 16 * KiB, 16 * KiB + 1, MiB, 20 * MiB]) {
  test(`relays ${size} bytes both ways unchanged`, limit, async () => {
    const backend = await echoServer();
    const { port, stop } = listen({ accepted: relayTo(endpointOf(backend)) });
    const payload = randomBytes(size);
    const client = await tlsClient(port);
    const answer = digest(client);
    if (size > 0) client.write(payload);
    client.end();
    assert.equal(await answer, createHash("sha256").update(payload).digest("hex"));
    await stop();
  });
}

test("relays many connections at once", limit, async () => {
  const backend = await echoServer();
  const { port, stop } = listen({ accepted: relayTo(endpointOf(backend)) });
  await Promise.all(Array.from({ length: 20 }, async () => {
    const payload = randomBytes(300 * KiB);
    const client = await tlsClient(port);
    const answer = digest(client);
    client.end(payload);
    assert.equal(await answer, createHash("sha256").update(payload).digest("hex"));
  }));
  await stop();
});

test(
  "reports both addresses of an accepted stream, the peer's also after close",
  limit,
  async () => {
    const handler = new Recorder();
    const { port, stop } = listen({ accepted: (stream) => handler.take(stream) });
    const client = await tlsClient(port);
    await until(() => handler.opens === 1, "opened");
    const clientPort = client.localPort;
    assert.deepEqual(handler.stream.local, loopback(port));
    client.destroy();
    handler.stream.finish();
    await until(() => handler.closes === 1, "closed");
    assert.deepEqual(handler.stream.remote, loopback(clientPort!));
    await stop();
  },
);

test("reports both addresses of a backend stream", limit, async () => {
  const backend = await echoServer();
  const handler = new Recorder();
  handler.take(connect(endpointOf(backend), handler));
  await until(() => handler.opens === 1, "opened");
  assert.deepEqual(handler.stream.remote, endpointOf(backend));
  const local = ip(handler.stream.local);
  assert.equal(local.address, "127.0.0.1");
  assert.notEqual(local.port, 0);
  assert.deepEqual(handler.stream.tls(), {});
  const { isResumed, tlsVersion, alpn } = handler.stream;
  assert.deepEqual([isResumed, tlsVersion, alpn], [undefined, undefined, undefined]);
  handler.stream.reset();
  await until(() => handler.closes === 1, "closed");
});

test("connects from the given source", limit, async () => {
  if (!capabilities.backendSource) return;
  const backend = await echoServer();
  const handler = new Recorder();
  const source: IpEndpoint = { family: 4, address: "127.0.0.9", port: 0 };
  handler.take(connect(endpointOf(backend), handler, source));
  await until(() => handler.opens === 1, "opened");
  assert.equal(ip(handler.stream.local).address, "127.0.0.9");
  handler.stream.reset();
  await until(() => handler.closes === 1, "closed");
});

test("queues a client's first bytes without pausing it, and no more", limit, async () => {
  const backend = await echoServer();
  const handler = new Recorder();
  handler.take(connect(endpointOf(backend), handler));
  assert.equal(handler.stream.write(new Uint8Array(MAX_EARLY_BYTES - 1)), true);
  assert.equal(handler.stream.write(new Uint8Array(1)), true);
  assert.equal(handler.stream.write(new Uint8Array(1)), false);
  await until(() => handler.bytes === MAX_EARLY_BYTES + 1, "all bytes echoed");
  handler.stream.reset();
  await until(() => handler.closes === 1, "closed");
});

test("calls after close have no effect", limit, async () => {
  const handler = new Recorder();
  const { port, stop } = listen({ accepted: (stream) => handler.take(stream) });
  const client = await tlsClient(port);
  await until(() => handler.opens === 1, "opened");
  handler.stream.reset();
  handler.stream.reset();
  await until(() => handler.closes === 1, "closed");
  assert.equal(handler.failure, undefined);
  handler.stream.write(new Uint8Array(10));
  handler.stream.pause();
  handler.stream.resume();
  handler.stream.finish();
  handler.stream.close();
  handler.stream.reset();
  handler.stream.tls();
  client.destroy();
  await stop();
});

test("a client that ends first still gets its answer", limit, async () => {
  const handler = new Recorder({
    ended(stream) {
      stream.write(text("goodbye"));
      stream.finish();
      stream.finish();
      stream.write(text("too late"));
    },
  });
  const { port, stop } = listen({ accepted: (stream) => handler.take(stream) });
  const client = await tlsClient(port);
  const answer = collect(client);
  client.end("hello");
  assert.equal(await answer, "goodbye");
  await until(() => handler.closes === 1, "closed");
  assert.equal(handler.bytes, 5);
  assert.equal(handler.failure, undefined);
  await stop();
});

test("a client can still send after our FIN", limit, async () => {
  const handler = new Recorder({
    opened(stream) {
      stream.write(text("first"));
      stream.finish();
    },
  });
  const { port, stop } = listen({ accepted: (stream) => handler.take(stream) });
  const client = await tlsClient(port);
  assert.equal(await collect(client), "first");
  client.end("second");
  await until(() => handler.closes === 1, "closed");
  assert.equal(handler.bytes, 6);
  assert.equal(handler.failure, undefined);
  await stop();
});

test("a backend that ends first still gets the rest", limit, async () => {
  let rest: Promise<string> | undefined;
  const backend = await server((peer) => {
    rest = collect(peer);
    peer.end("answer");
  });
  const handler = new Recorder({
    ended(stream) {
      stream.write(text("rest"));
      stream.finish();
    },
  });
  handler.take(connect(endpointOf(backend), handler));
  await until(() => handler.closes === 1, "closed");
  assert.equal(handler.bytes, 6);
  assert.equal(handler.failure, undefined);
  assert.equal(await rest, "rest");
});

test(
  "a backend can answer after our FIN, with bytes written before it was connected",
  limit,
  async () => {
    const backend = await server((peer) => {
      collect(peer).then((question) => peer.end(`${question}?`));
    });
    const handler = new Recorder();
    handler.take(connect(endpointOf(backend), handler));
    assert.equal(handler.stream.write(text("early")), true);
    handler.stream.finish();
    await until(() => handler.closes === 1, "closed");
    assert.equal(handler.bytes, 6);
    assert.equal(handler.failure, undefined);
  },
);

test("write to a slow backend returns false, then comes writable once", limit, async () => {
  let peer: net.Socket | undefined;
  const backend = await server((socket) => {
    socket.pause();
    peer = socket;
  });
  const handler = new Recorder();
  handler.take(connect(endpointOf(backend), handler));
  await until(() => handler.opens === 1 && peer, "opened");
  const sent = await fill(handler);
  const before = handler.writables;
  const answer = digest(peer!);
  peer!.resume();
  await until(() => handler.writables === before + 1, "writable");
  handler.stream.finish();
  peer!.on("end", () => peer!.end());
  assert.equal(await answer, sent.digest);
  await until(() => handler.closes === 1, "closed");
  assert.equal(handler.writables, before + 1);
});

test("write to a slow client returns false, then comes writable once", limit, async () => {
  const handler = new Recorder();
  const { port, stop } = listen({ accepted: (stream) => handler.take(stream) });
  const client = sClient(port);
  const answer = digest(client.stdout!);
  await until(() => handler.opens === 1, "opened");
  // Deno's `kill` of a child sends only one signal.
  process.kill(client.pid!, "SIGSTOP");
  const sent = await fill(handler);
  const before = handler.writables;
  process.kill(client.pid!, "SIGCONT");
  await until(() => handler.writables === before + 1, "writable");
  handler.stream.finish();
  assert.equal(await answer, sent.digest);
  await until(() => handler.closes === 1, "closed");
  await stop();
});

test("reset drops what waits for a peer that does not read", limit, async () => {
  const before = descriptors();
  const silent = bareSocket(SOCK_STREAM | SOCK_CLOEXEC);
  assert.equal(libc.listen(silent, 5), 0);
  const handler = new Recorder();
  handler.take(connect(loopback(boundPort(silent)), handler));
  await until(() => handler.opens === 1, "opened");
  await fill(handler);
  handler.stream.finish();
  handler.stream.reset();
  await until(() => handler.closes === 1, "closed");
  assert.equal(handler.failure, undefined);
  libc.close(silent);
  await until(() => descriptors() <= before, "descriptors freed");
});

test("a paused client stream gets no more bytes and keeps the last chunk", limit, async () => {
  const handler = new Recorder();
  const { port, stop } = listen({ accepted: (stream) => handler.take(stream) });
  const client = await tlsClient(port);
  await pausesInMidStream(handler, client);
  client.destroy();
  handler.stream.reset();
  await stop();
});

test("a paused backend stream gets no more bytes and keeps the last chunk", limit, async () => {
  let peer: net.Socket | undefined;
  const backend = await server((socket) => {
    peer = socket;
  });
  const handler = new Recorder();
  handler.take(connect(endpointOf(backend), handler));
  await until(() => peer && handler.opens === 1, "opened");
  await pausesInMidStream(handler, peer!);
  handler.stream.reset();
  await until(() => handler.closes === 1, "closed");
  peer!.destroy();
});

test("a stream paused when it opened delivers everything after resume", limit, async () => {
  const handler = new Recorder({ opened: (stream) => stream.pause() });
  const { port, stop } = listen({ accepted: (stream) => handler.take(stream) });
  const client = await tlsClient(port);
  client.end(randomBytes(100 * KiB));
  await until(() => handler.opens === 1, "opened");
  await pause(50);
  handler.stream.resume();
  await until(() => handler.ends === 1, "ended");
  assert.equal(handler.bytes, 100 * KiB);
  handler.stream.finish();
  await until(() => handler.closes === 1, "closed");
  assert.equal(handler.failure, undefined);
  await stop();
});

test(
  "close ends a client's connection without close_notify, after written bytes",
  limit,
  async () => {
    const handler = new Recorder({
      opened(stream) {
        stream.write(text("last words"));
        setTimeout(() => stream.close(), 50);
      },
    });
    const { port, stop } = listen({ accepted: (stream) => handler.take(stream) });
    const client = sClient(port);
    const said = collect(client.stderr!);
    assert.equal(await collect(client.stdout!), "last words");
    assert.match(await said, /unexpected eof/);
    await until(() => handler.closes === 1, "closed");
    assert.equal(handler.failure, undefined);
    await stop();
  },
);

test("reset reaches a client as RST without close_notify", limit, async () => {
  const handler = new Recorder();
  const { port, stop } = listen({ accepted: (stream) => handler.take(stream) });
  const client = sClient(port);
  const said = collect(client.stderr!);
  await until(() => handler.opens === 1, "opened");
  handler.stream.reset();
  assert.match(await said, /errno=104/);
  await until(() => handler.closes === 1, "closed");
  assert.equal(handler.failure, undefined);
  await stop();
});

test("reset reaches a backend as RST", limit, async () => {
  let error: string | undefined;
  let isAccepted = false;
  const backend = await server((peer) => {
    isAccepted = true;
    peer.on("error", (reason: NodeJS.ErrnoException) => {
      error = reason.code;
    });
    peer.resume();
  });
  const handler = new Recorder();
  handler.take(connect(endpointOf(backend), handler));
  await until(() => handler.opens === 1 && isAccepted, "opened");
  handler.stream.reset();
  await until(() => handler.closes === 1, "closed");
  assert.equal(handler.failure, undefined);
  await until(() => error, "the peer's error");
  assert.equal(error, "ECONNRESET");
});

test("a backend's RST is a failure", limit, async () => {
  const backend = await server((peer) => {
    // Closing a socket with unread bytes sends RST.
    peer.pause();
    setTimeout(() => peer.destroy(), 100);
  });
  const handler = new Recorder({ opened: (stream) => void stream.write(randomBytes(200 * KiB)) });
  handler.take(connect(endpointOf(backend), handler));
  await until(() => handler.closes === 1, "closed");
  assert.match(handler.failure?.code ?? "", /^(ECONNRESET|EPIPE)$/);
});

test(
  "a client that half-closes, leaves its answer unread and then resets is a failure",
  limit,
  async () => {
    const handler = new Recorder();
    const { port, stop } = listen({ accepted: (stream) => handler.take(stream) });
    const wire = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const relay = await server((peer) => void wire.on("error", () => {}).pipe(peer).pipe(wire));
    const client = sClient(endpointOf(relay).port);
    await until(() => handler.opens === 1, "opened");
    wire.unpipe().pause();
    await fill(handler);
    wire.end();
    await until(() => handler.ends === 1, "ended");
    // Closing a socket with unread bytes sends RST.
    wire.destroy();
    await until(() => handler.closes === 1, "closed");
    assert.match(handler.failure?.code ?? "", /^(ECONNRESET|EPIPE)$/);
    client.kill();
    await stop();
  },
);

test("garbage instead of a handshake is a failure", limit, async () => {
  await failsHandshake((socket) => socket.write(randomBytes(600).fill(0x80, 0, 6)));
});

test("plain HTTP instead of a handshake is a failure", limit, async () => {
  await failsHandshake((socket) => socket.write("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n"));
});

test("what came instead of a handshake is reported with its first bytes", limit, async () => {
  for (const sent of ["SSH-2.0-client\r\n", `POST / HTTP/1.1\r\n\r\n${"x".repeat(2 * MiB)}`]) {
    const { fault, received } = await failsHandshake((socket) => socket.write(sent));
    assert.equal(fault, "not-tls");
    assert.equal(Buffer.from(received!).toString(), sent.slice(0, 64));
  }
});

test(
  "on Deno the protocol of the next client is seen after one that does not speak TLS",
  limit,
  async (context) => {
    if (!/^deno$/.test(name)) return context.skip("the others see what every client sends");
    const PARTIAL = "\x16";
    const handlers: Recorder[] = [];
    const { port, stop } = listen({
      accepted: (stream) => handlers[handlers.push(new Recorder()) - 1]!.take(stream),
    });
    const fails = async (sent: string) => {
      const count = handlers.length;
      const socket = net.connect(port, "127.0.0.1").on("error", () => {});
      await once(socket, "connect");
      socket.write(sent);
      // A part of a ClientHello is held until FIN.
      if (sent === PARTIAL) socket.end();
      await until(() => handlers[count]?.closes === 1, "closed");
      socket.destroy();
      return handlers[count]!.failure!;
    };
    // After the first ones, clients are no longer watched.
    for (let i = 0; i < 90; i++) await fails(PARTIAL);
    const first = await fails("SSH-2.0-client\r\n");
    assert.deepEqual([first.fault, first.received], ["not-tls", undefined]);
    const second = await fails("SSH-2.0-client\r\n");
    assert.equal(Buffer.from(second.received!).toString(), "SSH-2.0-client\r\n");
    await stop();
  },
);

test("a client that leaves before its first byte is no failure of TLS", limit, async () => {
  const { fault } = await failsHandshake((socket) => socket.end());
  assert.equal(fault, "left");
  assert.equal((await failsHandshake((socket) => socket.end("\x16\x03"))).fault, "closed");
});

test("FIN in mid-handshake is ECONNRESET", limit, async () => {
  const failure = await failsHandshake((socket) => socket.end("\x16\x03\x01"));
  if (/^node$/.test(name)) assert.equal(failure.code, "ECONNRESET");
});

test("RST in mid-handshake is a failure", limit, async () => {
  const handler = new Recorder();
  const { port, stop } = listen({ accepted: (stream) => handler.take(stream) });
  const client = bareClient(port);
  await until(() => handler.isTaken, "accepted");
  libc.setsockopt(client, SOL_SOCKET, SO_LINGER, new Uint8Array([...cInt(1), ...cInt(0)]), 8);
  libc.close(client);
  await until(() => handler.closes === 1, "closed");
  assert.match(handler.failure?.fault ?? "", /^(early-)?reset$/);
  assert.equal(handler.opens, 0);
  await stop();
});

test("a client without a common TLS version is a failure", limit, async () => {
  if (!capabilities.chooseProtocols) return;
  const handler = new Recorder();
  const { port, stop } = listen({
    accepted: (stream) => handler.take(stream),
    settings: { protocols: ["TLSv1.3"] },
  });
  sClient(port, "-tls1_2");
  await until(() => handler.closes === 1, "closed");
  assert.ok(handler.failure);
  assert.doesNotMatch(handler.failure.message, /\n/);
  assert.equal(handler.opens, 0);
  await stop();
});

for (const giveUp of ["close", "reset"] as const) {
  test(`${giveUp} of a stalled handshake frees its descriptor`, limit, async () => {
    const { port, stop, handlers } = listen({});
    const before = descriptors();
    const clients = Array.from({ length: 8 }, () => bareClient(port));
    await until(() => handlers.length === 8, "accepted");
    for (const handler of handlers) handler.stream[giveUp]();
    await until(() => handlers.every((handler) => handler.closes === 1), "closed");
    for (const client of clients) libc.close(client);
    await until(() => descriptors() <= before, "descriptors freed");
    for (const handler of handlers) {
      assert.equal(handler.opens, 0);
      assert.equal(handler.failure, undefined);
    }
    await stop();
  });
}

test("a refused connect is ECONNREFUSED", limit, async () => {
  const handler = new Recorder();
  const stream = connect(loopback(freePort()), handler);
  handler.take(stream);
  assert.equal(handler.closes, 0);
  stream.write(text("never sent"));
  await until(() => handler.closes === 1, "closed");
  assert.equal(handler.failure?.code, "ECONNREFUSED");
  assert.equal(handler.opens, 0);
});

for (const giveUp of ["close", "reset"] as const) {
  test(`${giveUp} of a pending connect frees its descriptor`, limit, async () => {
    const full = bareSocket(SOCK_STREAM | SOCK_CLOEXEC);
    assert.equal(libc.listen(full, 0), 0);
    const port = boundPort(full);
    const fillers = Array.from({ length: 3 }, () => bareClient(port));
    const before = ownSockets();
    const handler = new Recorder();
    handler.take(connect(loopback(port), handler));
    await until(() => ownSockets(before).size === 1, "a pending connect");
    await settled(() => handler.opens);
    assert.equal(handler.opens, 0);
    assert.equal(ownSockets(before).size, 1);
    handler.stream[giveUp]();
    await until(() => handler.closes === 1, "closed");
    assert.equal(handler.failure, undefined);
    await until(() => ownSockets(before).size === 0, "descriptor freed");
    for (const fd of [...fillers, full]) libc.close(fd);
  });
}

test("the certificate follows SNI", limit, async () => {
  const asked: string[] = [];
  const { port, stop } = listen({
    settings: {
      choice: true,
      select(serverName) {
        asked.push(serverName);
        return serverName.toLowerCase() === "b.test" ? 1 : 0;
      },
    },
  });
  assert.match(await subject(port, "-servername", "a.test"), /a\.test/);
  assert.match(await subject(port, "-servername", "b.test"), /b\.test/);
  assert.match(await subject(port, "-servername", "B.Test"), /b\.test/);
  assert.match(await subject(port, "-servername", "other.test"), /a\.test/);
  assert.match(await subject(port, "-noservername"), /a\.test/);
  assert.ok(asked.includes("") && asked.includes("b.test"));
  await stop();
});

test("reports SNI, version and cipher of a session", limit, async () => {
  if (!capabilities.tlsFacts) return;
  const handler = new Recorder();
  const { port, stop } = listen({ accepted: (stream) => handler.take(stream) });
  const client = await tlsClient(port);
  await until(() => handler.opens === 1, "opened");
  const { serverName, version, cipher } = handler.stream.tls();
  assert.equal(serverName, "a.test");
  assert.equal(version, "TLSv1.3");
  assert.match(cipher ?? "", /^TLS_(AES|CHACHA20)_[A-Z0-9_]+$/);
  client.destroy();
  handler.stream.reset();
  await stop();
});

test("offers only the chosen versions and ciphers", limit, async () => {
  if (!capabilities.chooseProtocols || !capabilities.ciphers || !capabilities.tlsFacts) return;
  const cipher = "ECDHE-ECDSA-AES128-GCM-SHA256";
  const handler = new Recorder();
  const { port, stop } = listen({
    accepted: (stream) => handler.take(stream),
    settings: { protocols: ["TLSv1.2"], ciphers: cipher },
  });
  sClient(port, "-noservername");
  await until(() => handler.opens === 1, "opened");
  const facts = handler.stream.tls();
  assert.equal(facts.serverName, undefined);
  assert.equal(facts.version, "TLSv1.2");
  assert.equal(facts.cipher, cipher);
  handler.stream.reset();
  await stop();
});

test("offers TLS 1.0 if it is chosen", limit, async () => {
  if (!capabilities.chooseProtocols) return;
  const handler = new Recorder();
  const { port, stop } = listen({
    accepted: (stream) => handler.take(stream),
    settings: { protocols: ["TLSv1.0", "TLSv1.2"] },
  });
  const client = sClient(port, "-tls1", "-cipher", "ALL:@SECLEVEL=0");
  await until(() => handler.opens === 1, "opened");
  assert.equal(handler.stream.tlsVersion, "TLSv1");
  client.kill();
  handler.stream.reset();
  await stop();
});

test("a cipher list with no cipher left, or with an unknown name, is refused", () => {
  if (!capabilities.ciphers) return;
  for (
    const ciphers of ["NO-SUCH-CIPHER", "ECDHE-RSA-AES128-GCM-SHA256:NO-SUCH-CIPHER", "ALL:!ALL"]
  ) {
    assert.throws(() => createTlsContext(settingsWith({ ciphers })), Error, ciphers);
  }
  createTlsContext(settingsWith({ ciphers: "HIGH:!aNULL:!MD5:!NO-SUCH-CIPHER" }));
});

test("a closed listener refuses, and its streams continue", limit, async () => {
  const handler = new Recorder({ received: (stream, bytes) => void stream.write(bytes.slice()) });
  const { port, listener, stop } = listen({ accepted: (stream) => handler.take(stream) });
  const client = await tlsClient(port);
  listener.close();
  const refused = new Recorder();
  await until(async () => {
    const probe = new Recorder();
    const stream = connect(loopback(port), probe);
    probe.take(stream);
    await until(() => probe.opens + probe.closes > 0, "an answer");
    if (probe.closes === 0) stream.reset();
    else refused.failure = probe.failure;
    await until(() => probe.closes === 1, "closed");
    return refused.failure;
  }, "refusal");
  assert.equal(refused.failure?.code, "ECONNREFUSED");
  client.write("still here");
  const [bytes] = await once(client, "data") as [Uint8Array];
  assert.equal(new TextDecoder().decode(bytes), "still here");
  client.destroy();
  handler.stream.finish();
  await stop();
});

test("listening on what is not a socket throws an errno", () => {
  const tlsContext = createTlsContext(settingsWith({}));
  const accepted = () => new Recorder();
  const failed = () => {};
  const taken = libc.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert.equal(libc.listen(taken, 1), 0);
  const endpoint = loopback(boundPort(taken));
  const on = capabilities.adoptSockets ? { fd: 9999, endpoint } : { endpoint, socketOptions: [] };
  assert.throws(
    () =>
      runtime.listen({ on, backlog: 10, tls: tlsContext, headerFirst: false, accepted, failed }),
    { code: capabilities.adoptSockets ? /^(EBADF|EINVAL)$/ : "EADDRINUSE" },
  );
  libc.close(taken);
});

test("every stream closed once, and its events came in order", limit, async () => {
  await until(
    () => recorders.every((handler) => !handler.isTaken || handler.closes === 1),
    "closed",
  );
  assert.deepEqual(recorders.flatMap((handler) => handler.violations), []);
});

/** A peer sends 16 MiB; the handler pauses at the first chunk and resumes after the check. */
async function pausesInMidStream(handler: Recorder, peer: net.Socket): Promise<void> {
  const total = 16 * MiB;
  let first: Uint8Array | undefined;
  let copy: Uint8Array | undefined;
  handler.on({
    received(stream, bytes) {
      first ??= bytes;
      copy ??= bytes.slice();
      stream.pause();
    },
  });
  peer.write(randomBytes(total));
  await until(() => first, "the first chunk");
  const held = await settled(() => handler.bytes);
  assert.ok(held <= MiB, `${held} bytes arrived during a pause`);
  if (held === first!.length) assert.deepEqual(first, copy);
  handler.on({ received: () => {} });
  handler.stream.resume();
  await until(() => handler.bytes === total, "the rest");
}

async function failsHandshake(talk: (socket: net.Socket) => void): Promise<Failure> {
  const handler = new Recorder();
  const { port, stop } = listen({ accepted: (stream) => handler.take(stream) });
  const socket = net.connect(port, "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  talk(socket);
  await until(() => handler.closes === 1, "closed");
  socket.destroy();
  await stop();
  assert.equal(handler.opens, 0);
  assert.ok(handler.failure);
  assert.ok(handler.failure.code.length > 0 && handler.failure.message.length > 0);
  assert.doesNotMatch(handler.failure.message, /\n/);
  return handler.failure;
}

/** Writes until `writable` no longer comes, which a peer that does not read must cause soon. */
async function fill(handler: Recorder): Promise<{ digest: string }> {
  const hash = createHash("sha256");
  for (let i = 0; i < 1024; i++) {
    const chunk = randomBytes(64 * KiB);
    hash.update(chunk);
    const before = handler.writables;
    if (handler.stream.write(chunk)) continue;
    const deadline = Date.now() + 100;
    while (handler.writables === before) {
      if (Date.now() > deadline) return { digest: hash.digest("hex") };
      await pause(1);
    }
  }
  assert.fail("64 MiB were accepted for a peer that does not read");
}

/** Returns the descriptor of a client that connects and then does nothing. */
function bareClient(port: number): number {
  const fd = libc.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const address = sockaddr(loopback(port));
  libc.connect(fd, address, address.length);
  return fd;
}

function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}
