/**
 * The contract of src/runtime/ for client mode: plain connections in, TLS to the backend.
 * Runs against the adapter of the runtime that executes this file.
 */
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import * as net from "node:net";
import type * as tls from "node:tls";
import * as runtime from "#runtime";
import { sockaddr } from "../../src/os/sockaddr.ts";
import { SOCK_CLOEXEC } from "../../src/os/constants.ts";
import { SOCK_NONBLOCK } from "../../src/os/constants.ts";
import { SOCK_STREAM } from "../../src/os/constants.ts";
import { AF_INET } from "../../src/os/constants.ts";
import { queueLength } from "../../src/os/tcp_info.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { MAX_EARLY_BYTES } from "../../src/runtime/stream.ts";
import type { ClientTlsSettings } from "../../src/runtime/tls.ts";
import type { IpEndpoint } from "../../src/os/endpoint.ts";
import {
  bareSocket,
  boundPort,
  collect,
  digest,
  endpointOf,
  freePort,
  listen,
  loopback,
  ownSockets,
  pause,
  Recorder,
  recorders,
  relayTo,
  server,
  settled,
  text,
  until,
} from "../support/adapter.ts";
import { Authority } from "../support/authority.ts";
import { clientSettings, startSServer, startTlsBackend } from "../support/tls_backend.ts";

const { capabilities, connect, createClientTls, libc }: Runtime = runtime;
const limit = { timeout: 60_000 };
const KiB = 1024;
const MiB = 1024 * KiB;

const authority = new Authority("trusted");
const stranger = new Authority("stranger");
const certificate = authority.issue("backend.test");

test("a plain connection is open at once and has no session", limit, async () => {
  const handler = new Recorder();
  const { port, stop } = listen({ settings: null, accepted: (stream) => handler.take(stream) });
  const client = await plainClient(port);
  await until(() => handler.opens === 1, "opened before the client's first byte");
  assert.deepEqual(handler.stream.local, loopback(port));
  assert.deepEqual(handler.stream.remote, loopback(client.localPort!));
  assert.deepEqual(handler.stream.tls(), {});
  client.destroy();
  handler.stream.reset();
  await stop();
});

test("a plain client's bytes, FIN and RST arrive unchanged", limit, async () => {
  const handlers: Recorder[] = [];
  const { port, stop } = listen({
    settings: null,
    accepted(stream) {
      const handler = new Recorder({
        received: (_, bytes) => void stream.write(bytes.slice()),
        ended: () => stream.finish(),
      });
      handlers.push(handler);
      return handler.take(stream);
    },
  });
  const ending = await plainClient(port);
  const answer = collect(ending);
  ending.write("one ");
  await until(() => handlers[0]?.bytes === 4, "the first bytes");
  ending.end("two");
  assert.equal(await answer, "one two");
  await until(() => handlers[0]!.closes === 1, "closed");
  assert.equal(handlers[0]!.failure, undefined);

  const cutting = await plainClient(port);
  await until(() => handlers[1]?.opens === 1, "opened");
  cutting.resetAndDestroy();
  await until(() => handlers[1]!.closes === 1, "closed");
  assert.equal(handlers[1]!.failure?.code, "ECONNRESET");
  await stop();
});

test("a reset reaches a plain client, also from within accepted", limit, async () => {
  const { port, stop } = listen({
    settings: null,
    accepted(stream) {
      const handler = new Recorder().take(stream);
      stream.reset();
      return handler;
    },
  });
  const client = net.connect(port, "127.0.0.1");
  const [error] = await once(client, "error") as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNRESET");
  await stop();
});

for (const size of [1, 16 * KiB + 1, 6 * MiB]) {
  test(`relays ${size} plain bytes to TLS and back unchanged`, limit, async () => {
    const [question, answer] = [randomBytes(size), randomBytes(size)];
    let asked: Promise<string> | undefined;
    const backend = await startTlsBackend(certificate, (peer) => {
      asked = digest(peer);
      peer.on("end", () => peer.end(answer));
    });
    const context = createClientTls(clientSettings({ ca: authority.ca }));
    const { port, stop } = listen({
      settings: null,
      accepted: relayTo(backend.endpoint, context),
    });
    const client = await plainClient(port);
    const answered = digest(client);
    client.end(question);
    assert.equal(await answered, sha256(answer));
    assert.equal(await asked, sha256(question));
    await stop();
  });
}

test("a backend that ends first still gets the rest", limit, async () => {
  let rest: Promise<string> | undefined;
  const backend = await startTlsBackend(certificate, (peer) => {
    rest = collect(peer);
    peer.end("answer");
  });
  const handler = dial(backend.endpoint, { ca: authority.ca }, {
    ended(stream) {
      stream.write(text("rest"));
      stream.finish();
    },
  });
  await until(() => handler.closes === 1, "closed");
  assert.equal(handler.bytes, 6);
  assert.equal(handler.failure, undefined);
  assert.equal(await rest, "rest");
});

test("bytes written before the handshake are sent after it", limit, async () => {
  const backend = await startTlsBackend(certificate, (peer) => {
    peer.on("end", () => peer.end("thanks"));
  });
  const handler = dial(backend.endpoint, { ca: authority.ca });
  assert.equal(handler.stream.write(new Uint8Array(MAX_EARLY_BYTES)), true);
  assert.equal(handler.stream.write(new Uint8Array(1)), false);
  handler.stream.finish();
  await until(() => handler.closes === 1, "closed");
  assert.equal(backend.received, MAX_EARLY_BYTES + 1);
  assert.equal(handler.bytes, 6);
  assert.equal(handler.failure, undefined);
});

test("the backend gets its name as SNI", limit, async () => {
  const backend = await startTlsBackend(certificate);
  const peer = await opened(backend.endpoint, { ca: authority.ca }, backend.peers);
  assert.equal((peer as { servername?: string }).servername, "backend.test");
});

test("without a name the address is verified", limit, async () => {
  const backend = await startTlsBackend(authority.issue("127.0.0.1", { names: "IP:127.0.0.1" }));
  const settings = { ca: authority.ca, serverName: "" };
  const peer = await opened(backend.endpoint, settings, backend.peers);
  assert.ok(!(peer as { servername?: string | false }).servername);
  await isRefused({ serverName: "", ca: authority.ca }, certificate);
});

test("a common protocol is reported to both sides", limit, async () => {
  const backend = await startTlsBackend(certificate, undefined, ["h2", "http/1.1"]);
  const handler = dial(backend.endpoint, { ca: authority.ca, alpn: ["http/1.1"] });
  await until(() => handler.opens === 1 && backend.peers.length === 1, "opened");
  assert.equal(handler.stream.tls().alpn, "http/1.1");
  assert.equal(backend.peers[0]!.alpnProtocol, "http/1.1");
  handler.stream.reset();
  await until(() => handler.closes === 1, "closed");
});

test("without ALPN in the backend no protocol is reported", limit, async () => {
  const backend = await startTlsBackend(certificate);
  const handler = dial(backend.endpoint, { ca: authority.ca, alpn: ["http/1.1"] });
  await until(() => handler.opens === 1, "opened");
  assert.equal(handler.stream.tls().alpn, undefined);
  handler.stream.reset();
  await until(() => handler.closes === 1, "closed");
});

for (const version of ["-tls1_2", "-tls1_3"]) {
  test(`${version}: a connection resumes an earlier session with its backend`, limit, async () => {
    // rustls could, but Deno gives each connection a configuration of its own.
    const later = capabilities.tlsFacts ? "Reused" : "New";
    const [first, second] = [
      await startSServer(certificate, ["-www", version]),
      await startSServer(certificate, ["-www", version]),
    ];
    const context = createClientTls(clientSettings({ ca: authority.ca }));
    assert.equal(await session(first.endpoint, context), "New");
    for (let i = 0; i < 4; i++) assert.equal(await session(first.endpoint, context), later);
    // Each backend has its own, and each context.
    assert.equal(await session(second.endpoint, context), "New");
    assert.equal(await session(second.endpoint, context), later);
    const other = createClientTls(clientSettings({ ca: authority.ca }));
    assert.equal(await session(first.endpoint, other), "New");
    first.process.kill();
    second.process.kill();
  });

  test(`${version}: a backend that forgot the session is served, and the next one resumes`, {
    ...limit,
    skip: !capabilities.tlsFacts,
  }, async () => {
    const context = createClientTls(clientSettings({ ca: authority.ca }));
    const first = await startSServer(certificate, ["-www", version]);
    assert.equal(await session(first.endpoint, context), "New");
    first.process.kill();
    await once(first.process, "exit");
    const { port } = first.endpoint;
    const again = await startSServer(certificate, ["-www", version], port);
    const reports: unknown[] = [];
    for (let i = 0; i < 4; i++) reports.push(await session(first.endpoint, context));
    assert.equal(reports[0], "New");
    assert.equal(reports.at(-1), "Reused");
    again.process.kill();
  });
}

test("a backend whose certificate changes to an untrusted one is refused", limit, async () => {
  const context = createClientTls(clientSettings({ ca: authority.ca }));
  const first = await startSServer(certificate, ["-www"]);
  assert.equal(await session(first.endpoint, context), "New");
  first.process.kill();
  await once(first.process, "exit");
  const { port } = first.endpoint;
  const impostor = await startSServer(stranger.issue("backend.test"), ["-www"], port);
  for (let i = 0; i < 3; i++) assert.equal(await session(first.endpoint, context), undefined);
  impostor.process.kill();
});

test("how a backend ended is reported as far as the runtime knows", limit, async () => {
  const { closeNotify, truncation } = capabilities;
  for (const how of ["close_notify", "FIN", "FIN within a record"] as const) {
    const backend = await startTlsBackend(certificate);
    const relay = await startCuttableRelay(backend.endpoint);
    const handler = dial(relay.endpoint, { ca: authority.ca });
    await until(() => handler.opens === 1 && backend.peers.length === 1, "opened");
    if (how === "close_notify") backend.peers[0]!.end();
    else relay.cut(how === "FIN" ? 0 : 20);
    if (how === "FIN within a record" && truncation) {
      await until(() => handler.closes === 1, "closed");
      assert.equal(handler.failure?.code, "ERR_TRUNCATED");
      assert.equal(handler.ends, 0);
      continue;
    }
    await until(() => handler.ends === 1, "ended");
    const expected = closeNotify ? how === "close_notify" : undefined;
    assert.equal(handler.stream.hasCloseNotify, expected, how);
    handler.stream.reset();
    await until(() => handler.closes === 1, "closed");
  }
});

/** A TCP relay that can end the answer with FIN after `size` bytes of a TLS record of 100 bytes. */
async function startCuttableRelay({ port }: IpEndpoint) {
  const clients: net.Socket[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    clients.push(client);
    const backend = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    for (const each of [client, backend]) each.on("error", () => {});
    client.pipe(backend).pipe(client);
    client.on("close", () => backend.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => {
    server.close();
    for (const client of clients) client.destroy();
  });
  const record = Buffer.alloc(105, 7);
  Buffer.from([23, 3, 3, 0, 100]).copy(record);
  return {
    endpoint: loopback((server.address() as net.AddressInfo).port),
    cut: (size: number) => clients[0]!.end(record.subarray(0, size)),
  };
}

test("a backend with an untrusted CA, or another name, gets no byte", limit, async () => {
  await isRefused({ ca: authority.ca }, stranger.issue("backend.test"));
  await isRefused({ ca: authority.ca, serverName: "other.test" }, certificate);
});

test("without verification any backend is accepted", limit, async () => {
  if (!capabilities.backendTrust) return;
  const backend = await startTlsBackend(stranger.issue("other.test"));
  await opened(backend.endpoint, { verify: false }, backend.peers);
});

test("a refused connect is ECONNREFUSED", limit, async () => {
  const handler = dial(loopback(freePort()), { ca: authority.ca });
  handler.stream.write(text("never sent"));
  await until(() => handler.closes === 1, "closed");
  assert.equal(handler.failure?.code, "ECONNREFUSED");
  assert.equal(handler.opens, 0);
});

const leavings: Record<string, (peer: net.Socket) => void> = {
  "ends": (peer) => peer.resume().end(),
  "resets": (peer) => peer.once("data", () => peer.resetAndDestroy()),
  "speaks no TLS": (peer) => peer.resume().end("HTTP/1.0 400 Bad Request\r\n\r\n"),
};
for (const [leaves, leave] of Object.entries(leavings)) {
  test(`a backend that ${leaves} in the handshake is a failure`, limit, async () => {
    const before = descriptors();
    const backend = await server(leave);
    const handler = dial(endpointOf(backend), { ca: authority.ca });
    handler.stream.write(text("never sent"));
    await until(() => handler.closes === 1, "closed");
    assert.equal(handler.opens, 0);
    assert.ok(handler.failure?.code);
    assert.doesNotMatch(handler.failure.message, /\n/);
    backend.close();
    await until(() => descriptors() <= before, "descriptors freed");
  });
}

for (const giveUp of ["close", "reset"] as const) {
  test(`${giveUp} in the handshake frees the descriptor`, limit, async () => {
    const before = descriptors();
    const silent = bareSocket(SOCK_STREAM | SOCK_CLOEXEC);
    assert.equal(libc.listen(silent, 8), 0);
    const backend = loopback(boundPort(silent));
    const handlers = Array.from({ length: 4 }, () => dial(backend, { ca: authority.ca }));
    await until(() => queueLength(libc, silent) === handlers.length, "connected");
    await pause(100);
    for (const handler of handlers) handler.stream[giveUp]();
    await until(() => handlers.every((handler) => handler.closes === 1), "closed");
    await until(() => descriptors() <= before + 1, "descriptors freed");
    for (const handler of handlers) {
      assert.equal(handler.opens, 0);
      assert.equal(handler.failure, undefined);
    }
    libc.close(silent);
  });

  test(`${giveUp} of a pending connect frees the descriptor`, limit, async () => {
    const full = bareSocket(SOCK_STREAM | SOCK_CLOEXEC);
    assert.equal(libc.listen(full, 0), 0);
    const port = boundPort(full);
    const fillers = Array.from({ length: 3 }, () => bareClient(port));
    const before = ownSockets();
    const handler = dial(loopback(port), { ca: authority.ca });
    await until(() => ownSockets(before).size === 1, "a pending connect");
    handler.stream[giveUp]();
    await until(() => handler.closes === 1, "closed");
    assert.equal(handler.failure, undefined);
    await until(() => ownSockets(before).size === 0, "descriptor freed");
    for (const fd of [...fillers, full]) libc.close(fd);
  });
}

test("a backend that does not read pauses the client", limit, async () => {
  const { endpoint, process: backend } = await startSServer(certificate);
  const answer = digest(backend.stdout!);
  let received = 0;
  backend.stdout!.on("data", (bytes: Uint8Array) => received += bytes.length);
  let fromClient: Recorder | undefined;
  const context = createClientTls(clientSettings({ ca: authority.ca }));
  const relay = relayTo(endpoint, context);
  const { port, stop } = listen({
    settings: null,
    accepted: (stream) => fromClient = relay(stream),
  });
  const client = await plainClient(port);
  client.write("x");
  await until(() => received === 1, "the first byte");
  // Deno's `kill` of a child sends only one signal.
  process.kill(backend.pid!, "SIGSTOP");
  const payload = randomBytes(64 * MiB);
  client.write(payload);
  const held = await settled(() => fromClient!.bytes);
  assert.ok(held < payload.length / 2, `${held} bytes were taken for a backend that does not read`);
  process.kill(backend.pid!, "SIGCONT");
  await until(() => received === payload.length + 1, "the rest");
  backend.kill();
  assert.equal(await answer, sha256(text("x"), payload));
  client.destroy();
  await stop();
});

test("every stream closed once, and its events came in order", limit, async () => {
  await until(
    () => recorders.every((handler) => !handler.isTaken || handler.closes === 1),
    "closed",
  );
  assert.deepEqual(recorders.flatMap((handler) => handler.violations), []);
});

function dial(
  backend: IpEndpoint,
  settings: Partial<ClientTlsSettings>,
  hooks: ConstructorParameters<typeof Recorder>[0] = {},
): Recorder {
  const handler = new Recorder({ ended: (stream) => stream.finish(), ...hooks });
  const context = createClientTls(clientSettings(settings));
  return handler.take(connect(backend, handler, undefined, context));
}

/** Asks `openssl s_server -www` about the connection: `New` or `Reused`; undefined: it failed. */
async function session(
  backend: IpEndpoint,
  context: ReturnType<typeof createClientTls>,
): Promise<string | undefined> {
  let answer = "";
  let isResumed: boolean | undefined;
  const handler = new Recorder({
    opened(stream) {
      isResumed = stream.isResumed;
      stream.write(text("GET / HTTP/1.0\r\n\r\n"));
    },
    received: (_, bytes) => void (answer += new TextDecoder().decode(bytes)),
    ended: (stream) => stream.finish(),
  });
  handler.take(connect(backend, handler, undefined, context));
  await until(() => handler.closes === 1, "closed");
  const found = /^(New|Reused), /m.exec(answer)?.[1];
  if (found && capabilities.tlsFacts) assert.equal(isResumed, found === "Reused");
  return found;
}

/** Connects, and resolves with the backend's side of it. */
async function opened(
  backend: IpEndpoint,
  settings: Partial<ClientTlsSettings>,
  peers: readonly tls.TLSSocket[],
): Promise<tls.TLSSocket> {
  const handler = dial(backend, settings);
  await until(() => handler.opens === 1 && peers.length === 1, "opened");
  handler.stream.reset();
  await until(() => handler.closes === 1, "closed");
  return peers[0]!;
}

/** Asserts that a backend with this certificate fails in the handshake and gets no byte. */
async function isRefused(
  settings: Partial<ClientTlsSettings>,
  shown: typeof certificate,
): Promise<void> {
  const backend = await startTlsBackend(shown);
  const before = descriptors();
  const handler = dial(backend.endpoint, settings);
  handler.stream.write(text("a secret"));
  await until(() => handler.closes === 1, "closed");
  assert.equal(handler.opens, 0);
  assert.match(handler.failure?.code ?? "", /[A-Za-z]/);
  assert.doesNotMatch(handler.failure!.message, /\n/);
  await until(() => {
    // The backend may consider the handshake complete, and then waits for us.
    for (const peer of backend.peers) peer.destroy();
    return descriptors() <= before;
  }, "descriptors freed");
  assert.equal(backend.received, 0);
}

async function plainClient(port: number): Promise<net.Socket> {
  const client = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  await once(client, "connect");
  client.on("error", () => {});
  return client;
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

function sha256(...parts: Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}
