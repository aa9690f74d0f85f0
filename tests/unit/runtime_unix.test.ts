/**
 * The contract of src/runtime/ for Unix sockets, on either side; run against the adapter of the runtime
 * that executes this file.
 */
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import * as net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tls from "node:tls";
import * as runtime from "#runtime";
import { sockaddr } from "../../src/os/sockaddr.ts";
import { SOCK_CLOEXEC } from "../../src/os/constants.ts";
import { SOCK_NONBLOCK } from "../../src/os/constants.ts";
import { SOCK_STREAM } from "../../src/os/constants.ts";
import { AF_UNIX } from "../../src/os/constants.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { TlsContext } from "../../src/runtime/tls.ts";
import { MAX_EARLY_BYTES } from "../../src/runtime/stream.ts";
import type { UnixEndpoint } from "../../src/os/endpoint.ts";
import {
  collect,
  digest,
  listen,
  pause,
  Recorder,
  recorders,
  relayTo,
  settingsWith,
  text,
  tlsClient,
  until,
} from "../support/adapter.ts";

const { capabilities, connect, createTlsContext, libc }: Runtime = runtime;
const limit = { timeout: 60_000 };
const KiB = 1024;
const MiB = 1024 * KiB;

const directory = mkdtempSync(join(tmpdir(), "stud-unix-"));
const servers: net.Server[] = [];
after(() => {
  for (const server of servers) server.close();
  rmSync(directory, { recursive: true, force: true });
});

const names: Record<string, (name: string) => UnixEndpoint> = {
  "a path": (name) => ({ family: "unix", path: join(directory, name) }),
  "an abstract name": (name) => ({ family: "unix", path: `@stud-${process.pid}-${name}` }),
};

for (const [kind, unix] of Object.entries(names)) {
  test(`relays to a backend at ${kind} and back unchanged`, limit, async () => {
    const backend = unix("echo");
    await startServer(backend, echo);
    const { port, stop } = listen({ accepted: relayTo(backend) });
    await Promise.all([0, 1, 70 * KiB, 6 * MiB].map(async (size) => {
      const payload = randomBytes(size);
      const client = await tlsClient(port);
      const answer = digest(client);
      if (size > 0) client.write(payload);
      client.end();
      assert.equal(await answer, createHash("sha256").update(payload).digest("hex"));
    }));
    await stop();
  });

  test(`reports both addresses of a backend stream to ${kind}`, limit, async () => {
    const backend = unix("ends");
    await startServer(backend, echo);
    const handler = dial(backend);
    await until(() => handler.opens === 1, "opened");
    assert.deepEqual(handler.stream.remote, backend);
    assert.deepEqual(handler.stream.local, { family: "unix", path: "" });
    assert.deepEqual(handler.stream.tls(), {});
    handler.stream.reset();
    await until(() => handler.closes === 1, "closed");
    assert.deepEqual(handler.stream.remote, backend);
    assert.equal(handler.failure, undefined);
  });

  test(`no listener at ${kind} is ECONNREFUSED`, limit, async () => {
    const backend = unix("deserted");
    if (!backend.path.startsWith("@")) libc.close(boundSocket(backend));
    assert.equal(await failureOf(backend), "ECONNREFUSED");
  });

  test(`accepts TLS at ${kind}`, limit, async () => {
    if (!capabilities.adoptSockets) return;
    const { handler, endpoint, stop } = listenAt(
      unix("listener"),
      createTlsContext(settingsWith({})),
    );
    const client = tls.connect(
      {
        path: nodePath(endpoint),
        servername: "a.test",
        rejectUnauthorized: false,
        allowHalfOpen: true,
      } as tls.ConnectionOptions,
    );
    await once(client, "secureConnect");
    await servesUnix(client, handler, endpoint);
    await stop();
  });

  test(`accepts plain connections at ${kind}`, limit, async () => {
    if (!capabilities.adoptSockets) return;
    const { handler, endpoint, stop } = listenAt(unix("plain"), undefined);
    const client = net.connect({ path: nodePath(endpoint), allowHalfOpen: true });
    await once(client, "connect");
    await servesUnix(client, handler, endpoint);
    await stop();
  });

  test(`clients wait at ${kind} while its listener is paused`, limit, async () => {
    if (!capabilities.adoptSockets) return;
    const { handler, endpoint, stop, listener } = listenAt(unix("paused"), undefined);
    listener.pause();
    const client = net.connect({ path: nodePath(endpoint), allowHalfOpen: true });
    await once(client, "connect");
    // Meanwhile the event loop runs, and could have accepted it.
    const elsewhere = unix("elsewhere");
    await startServer(elsewhere, echo);
    const other = net.connect({ path: nodePath(elsewhere) });
    other.end("echo");
    assert.equal(await collect(other), "echo");
    assert.equal(handler.isTaken, false);
    listener.resume();
    await servesUnix(client, handler, endpoint);
    await stop();
  });
}

test("no socket at a path is ENOENT", limit, async () => {
  assert.equal(await failureOf({ family: "unix", path: join(directory, "none") }), "ENOENT");
});

test("a backend bound by another path frees its descriptor", limit, async () => {
  const before = descriptors();
  const backend = names["a path"]!("own-name");
  const silent = boundSocket(backend);
  assert.equal(libc.listen(silent, 5), 0);
  const link = join(directory, "other-name");
  symlinkSync(backend.path, link);
  const handler = dial({ family: "unix", path: link });
  await until(() => handler.opens === 1, "opened");
  assert.deepEqual(handler.stream.remote, { family: "unix", path: link });
  assert.equal(handler.stream.write(new Uint8Array(8 * MiB)), false);
  await pause(50);
  handler.stream.reset();
  await until(() => handler.closes === 1, "closed");
  await until(() => descriptors() <= before + 1, "descriptors freed");
  libc.close(silent);
});

test("bytes written before the connect, and FIN, are sent in order", limit, async () => {
  const backend = names["a path"]!("early");
  let asked: Promise<string> | undefined;
  await startServer(backend, (peer) => {
    asked = collect(peer);
    peer.on("end", () => peer.end("answer"));
  });
  const handler = dial(backend);
  assert.equal(handler.stream.write(new Uint8Array(MAX_EARLY_BYTES).fill(97)), true);
  assert.equal(handler.stream.write(text("bcd")), false);
  handler.stream.finish();
  await until(() => handler.closes === 1, "closed");
  assert.equal(await asked, `${"a".repeat(MAX_EARLY_BYTES)}bcd`);
  assert.equal(handler.bytes, 6);
  assert.equal(handler.failure, undefined);
});

test("a backend that ends first still gets the rest", limit, async () => {
  const backend = names["a path"]!("ends-first");
  let rest: Promise<string> | undefined;
  await startServer(backend, (peer) => {
    rest = collect(peer);
    peer.end("answer");
  });
  const handler = dial(backend, {
    ended(stream) {
      stream.write(text("rest"));
      stream.finish();
    },
  });
  await until(() => handler.closes === 1, "closed");
  assert.equal(await rest, "rest");
  assert.equal(handler.failure, undefined);
});

test("write to a slow backend returns false, then comes writable once", limit, async () => {
  const backend = names["a path"]!("slow");
  let peer: net.Socket | undefined;
  await startServer(backend, (socket) => {
    socket.pause();
    peer = socket;
  });
  const handler = dial(backend);
  await until(() => handler.opens === 1 && peer, "opened");
  const payload = randomBytes(8 * MiB);
  assert.equal(handler.stream.write(payload), false);
  await pause(100);
  assert.equal(handler.writables, 0);
  const received = digest(peer!);
  peer!.resume();
  peer!.on("end", () => peer!.end());
  await until(() => handler.writables === 1, "writable");
  handler.stream.finish();
  assert.equal(await received, createHash("sha256").update(payload).digest("hex"));
  await until(() => handler.closes === 1, "closed");
  assert.equal(handler.writables, 1);
});

for (const giveUp of ["close", "reset"] as const) {
  test(`${giveUp} frees the descriptor of a backend that does not read`, limit, async () => {
    const backend = names["a path"]!(`silent-${giveUp}`);
    const silent = boundSocket(backend);
    assert.equal(libc.listen(silent, 5), 0);
    const before = descriptors();
    const handler = dial(backend);
    await until(() => handler.opens === 1, "opened");
    assert.equal(handler.stream.write(new Uint8Array(8 * MiB)), false);
    handler.stream.finish();
    await pause(50);
    handler.stream[giveUp]();
    await until(() => handler.closes === 1, "closed");
    assert.equal(handler.failure, undefined);
    await until(() => descriptors() <= before, "descriptors freed");
    libc.close(silent);
  });
}

test("a backend that closes with unread bytes is a failure", limit, async () => {
  const backend = names["a path"]!("gone");
  await startServer(backend, (peer) => {
    peer.pause();
    setTimeout(() => peer.destroy(), 50);
  });
  const handler = dial(backend);
  handler.stream.write(new Uint8Array(8 * MiB));
  await until(() => handler.closes === 1, "closed");
  assert.match(handler.failure?.code ?? "", /^(ECONNRESET|EPIPE)$/);
});

test("every stream closed once, and its events came in order", limit, async () => {
  await until(
    () => recorders.every((handler) => !handler.isTaken || handler.closes === 1),
    "closed",
  );
  assert.deepEqual(recorders.flatMap((handler) => handler.violations), []);
});

function dial(
  backend: UnixEndpoint,
  hooks: ConstructorParameters<typeof Recorder>[0] = {},
): Recorder {
  const handler = new Recorder({ ended: (stream) => stream.finish(), ...hooks });
  return handler.take(connect(backend, handler));
}

async function failureOf(backend: UnixEndpoint): Promise<string | undefined> {
  const handler = dial(backend);
  handler.stream.write(text("never sent"));
  assert.equal(handler.closes, 0);
  await until(() => handler.closes === 1, "closed");
  assert.equal(handler.opens, 0);
  assert.ok(handler.failure?.message);
  return handler.failure.code;
}

/** Makes one connection to a listener whose backend echoes. */
async function servesUnix(
  client: net.Socket,
  handler: Recorder,
  endpoint: UnixEndpoint,
): Promise<void> {
  client.on("error", () => {});
  await until(() => handler.opens === 1, "opened");
  assert.deepEqual(handler.stream.remote, { family: "unix", path: "" });
  assert.deepEqual(handler.stream.local, endpoint);
  const answer = collect(client);
  client.end("over a Unix socket");
  assert.equal(await answer, "over a Unix socket");
  await until(() => handler.closes === 1, "closed");
  assert.deepEqual(handler.stream.remote, { family: "unix", path: "" });
  assert.equal(handler.failure, undefined);
}

function listenAt(endpoint: UnixEndpoint, context: TlsContext | undefined) {
  const handler = new Recorder({
    received: (stream, bytes) => void stream.write(bytes.slice()),
    ended: (stream) => stream.finish(),
  });
  const fd = boundSocket(endpoint);
  const listener = runtime.listen({
    on: { fd, endpoint },
    backlog: 5,
    ...(context ? { tls: context } : {}),
    headerFirst: false,
    accepted: (stream) => handler.take(stream),
    failed: (failure) => assert.fail(failure.message),
  });
  return { handler, endpoint, listener, stop: () => listener.close() };
}

function boundSocket(endpoint: UnixEndpoint): number {
  const fd = libc.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  assert.ok(fd >= 0);
  const address = sockaddr(endpoint);
  assert.equal(libc.bind(fd, address, address.length), 0);
  return fd;
}

async function startServer(
  endpoint: UnixEndpoint,
  accepted: (peer: net.Socket) => void,
): Promise<net.Server> {
  const server = net.createServer({ allowHalfOpen: true }, (peer) => {
    peer.on("error", () => {});
    accepted(peer);
  });
  servers.push(server);
  server.listen(nodePath(endpoint));
  await once(server, "listening");
  return server;
}

function echo(peer: net.Socket): void {
  peer.on("data", (bytes) => {
    if (peer.write(bytes)) return;
    peer.pause();
    peer.once("drain", () => peer.resume());
  });
  peer.on("end", () => peer.end());
}

/** Returns an abstract name in the form of node:net. */
function nodePath({ path }: UnixEndpoint): string {
  return path.replace(/^@/, "\0");
}

function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}
