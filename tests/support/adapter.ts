/**
 * Peers and handlers for the tests of the adapters' contract: node:net and node:tls in the same
 * process, `openssl s_client`, and plain sockets of the C library where a peer must do nothing.
 */
import { after } from "node:test";
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import * as net from "node:net";
import * as tls from "node:tls";
import { generate } from "selfsigned";
import * as runtime from "#runtime";
import { setOption } from "../../src/os/socket_options.ts";
import { readSockaddr } from "../../src/os/sockaddr.ts";
import { SOCKADDR_SIZE } from "../../src/os/sockaddr.ts";
import { sockaddr } from "../../src/os/sockaddr.ts";
import { cInt } from "../../src/os/structures.ts";
import { SO_REUSEPORT } from "../../src/os/constants.ts";
import { SOL_SOCKET } from "../../src/os/constants.ts";
import { SOCK_CLOEXEC } from "../../src/os/constants.ts";
import { SOCK_NONBLOCK } from "../../src/os/constants.ts";
import { SOCK_STREAM } from "../../src/os/constants.ts";
import { AF_INET } from "../../src/os/constants.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { Libc } from "../../src/os/libc.ts";
import type { ClientTlsContext } from "../../src/runtime/tls.ts";
import type { Listener } from "../../src/runtime/listener.ts";
import type { ListenOptions } from "../../src/runtime/listener.ts";
import type { StreamHandler } from "../../src/runtime/stream.ts";
import type { Stream } from "../../src/runtime/stream.ts";
import type { Failure } from "../../src/runtime/failure.ts";
import type { TlsFacts } from "../../src/runtime/tls.ts";
import type { TlsSettings } from "../../src/runtime/tls.ts";
import type { Certificate } from "../../src/runtime/tls.ts";
import type { Endpoint } from "../../src/os/endpoint.ts";
import type { IpEndpoint } from "../../src/os/endpoint.ts";
import { randomSecret } from "../../src/tickets/ring.ts";
import { TicketKeys } from "../../src/tickets/ticket_keys.ts";
import { plainSettings } from "./tls_settings.ts";

const { capabilities, connect, createTlsContext }: Runtime = runtime;
const libc: Libc = runtime.libc;
/** All contexts share the keys, as in a worker. */
const ticketKeys = new TicketKeys({ secrets: [randomSecret()], current: 0 });

/** For `a.test` and `b.test`. */
export const certificates: readonly Certificate[] = await Promise.all(
  ["a.test", "b.test"].map(create),
);
/** All recorders. */
export const recorders: Recorder[] = [];
const servers: net.Server[] = [];
const children: ChildProcess[] = [];

after(() => {
  for (const server of servers) server.close();
  for (const child of children) child.kill("SIGKILL");
});

/** What a test does at an event. */
export interface RecorderHooks extends Partial<StreamHandler> {
  /** Plain bytes on a listener with `headerFirst`. */
  header?(stream: Stream, bytes: Uint8Array): void;
}

/** A handler that counts events, and records those that come out of order. */
export class Recorder implements StreamHandler {
  readonly violations: string[] = [];
  opens = 0;
  bytes = 0;
  writables = 0;
  ends = 0;
  closes = 0;
  failure: Failure | undefined;
  #stream: Stream | undefined;
  readonly #hooks: RecorderHooks;

  constructor(hooks: RecorderHooks = {}) {
    this.#hooks = hooks;
    recorders.push(this);
  }

  get isTaken(): boolean {
    return this.#stream !== undefined;
  }

  get stream(): Stream {
    assert.ok(this.#stream, "no stream yet");
    return this.#stream;
  }

  take(stream: Stream): this {
    this.#stream = stream;
    return this;
  }

  opened(stream: Stream): void {
    this.#expect("opened", this.opens === 0 && this.closes === 0);
    this.opens++;
    this.#hooks.opened?.(stream);
  }

  received(stream: Stream, bytes: Uint8Array): void {
    if (this.#hooks.header && this.opens === 0) {
      this.#expect("header", this.closes === 0);
      this.#hooks.header(stream, bytes);
      return;
    }
    this.#expect("received", this.opens === 1 && this.ends === 0 && this.closes === 0);
    this.bytes += bytes.length;
    this.#hooks.received?.(stream, bytes);
  }

  writable(stream: Stream): void {
    this.#expect("writable", this.opens === 1 && this.closes === 0);
    this.writables++;
    this.#hooks.writable?.(stream);
  }

  ended(stream: Stream): void {
    this.#expect("ended", this.opens === 1 && this.ends === 0 && this.closes === 0);
    this.ends++;
    this.#hooks.ended?.(stream);
  }

  closed(stream: Stream, failure: Failure | undefined): void {
    this.#expect("closed", this.isTaken && this.closes === 0 && stream === this.#stream);
    this.closes++;
    this.failure = failure;
    this.#hooks.closed?.(stream, failure);
  }

  /** Replaces hooks. */
  on(hooks: RecorderHooks): void {
    Object.assign(this.#hooks, hooks);
  }

  #expect(event: string, isInOrder: boolean): void {
    if (!isInOrder) this.violations.push(`${event} out of order`);
  }
}

/** Half-closes a stream when its peer does. */
export const answering: Partial<StreamHandler> = { ended: (stream) => stream.finish() };

/** Moves bytes between an accepted stream and a backend, as the core does. */
export function relayTo(backend: Endpoint, tls?: ClientTlsContext): (client: Stream) => Recorder {
  return (client) => {
    const backendHandler = new Recorder({
      received(_, bytes) {
        if (!client.write(bytes)) backendHandler.stream.pause();
      },
      writable: () => client.resume(),
      ended: () => client.finish(),
    });
    const clientHandler = new Recorder({
      opened: () => void backendHandler.take(connect(backend, backendHandler, undefined, tls)),
      received(_, bytes) {
        if (!backendHandler.stream.write(bytes)) client.pause();
      },
      writable: () => backendHandler.stream.resume(),
      ended: () => backendHandler.stream.finish(),
    });
    return clientHandler.take(client);
  };
}

export interface Listening {
  readonly port: number;
  readonly listener: Listener;
  /** The handlers that were made here, if the test has none. */
  readonly handlers: readonly Recorder[];
  /** Closes the listener and waits until all accepted streams are closed. */
  stop(): Promise<void>;
}

export function listen(
  { accepted, settings: tls, headerFirst }: {
    accepted?: (stream: Stream) => Recorder;
    /** null: without TLS. */
    settings?: Partial<TlsSettings> | null;
    headerFirst?: boolean;
  },
): Listening {
  const handlers: Recorder[] = [];
  const taken: Recorder[] = [];
  let fd = -1;
  let port: number;
  if (capabilities.adoptSockets) {
    fd = bareSocket(SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK);
    port = boundPort(fd);
  } else {
    port = freePort();
  }
  const endpoint = loopback(port);
  const options: ListenOptions = {
    on: capabilities.adoptSockets ? { fd, endpoint } : { endpoint, socketOptions: [] },
    backlog: 50,
    ...(tls === null ? {} : { tls: createTlsContext(settingsWith(tls ?? {})) }),
    headerFirst: headerFirst ?? false,
    accepted(stream) {
      if (accepted) taken.push(accepted(stream));
      else taken.push(handlers[handlers.push(new Recorder(answering).take(stream)) - 1]!);
      return taken.at(-1)!;
    },
    failed: (failure) => assert.fail(failure.message),
  };
  const listener = runtime.listen(options);
  return {
    port,
    listener,
    handlers,
    async stop() {
      listener.close();
      await until(() => taken.every((handler) => handler.closes === 1), "all streams closed");
    },
  };
}

/** A connection of {@link serve}. */
export interface Visit {
  readonly handler: Recorder;
  /** Present after the handshake. */
  facts?: TlsFacts;
  isResumed?: boolean | undefined;
  tlsVersion?: string | undefined;
  group?: string | undefined;
  alpn?: string | undefined;
}

/** Greets every client with `GOT`, half-closes, and records the facts of its session. */
export function serve(settings: Partial<TlsSettings>): Listening & { readonly visits: Visit[] } {
  const visits: Visit[] = [];
  const listening = listen({
    settings,
    accepted(stream) {
      const handler = new Recorder({
        opened() {
          made.facts = stream.tls();
          const { isResumed, tlsVersion, group, alpn } = stream;
          Object.assign(made, { isResumed, tlsVersion, group, alpn });
          stream.write(text("GOT"));
          stream.finish();
        },
      });
      const made: Visit = { handler: handler.take(stream) };
      visits.push(made);
      return handler;
    },
  });
  return { ...listening, visits };
}

export function settingsWith(settings: Partial<TlsSettings>): TlsSettings {
  return {
    ...plainSettings,
    identity: (number) => ({ certificates: [certificates[number]!] }),
    ...(capabilities.ticketKeys ? { ticketKeys } : {}),
    ...settings,
  };
}

export async function create(name: string): Promise<Certificate> {
  const { cert, private: key } = await generate([{ name: "commonName", value: name }], {
    keyType: "ec",
    curve: "P-256",
    algorithm: "sha256",
    extensions: [{ name: "subjectAltName", altNames: [{ type: 2, value: name }] }],
  });
  return { chain: cert, key };
}

export async function tlsClient(port: number): Promise<tls.TLSSocket> {
  const client = tls.connect({
    host: "127.0.0.1",
    port,
    servername: "a.test",
    rejectUnauthorized: false,
    allowHalfOpen: true,
  } as tls.ConnectionOptions);
  await once(client, "secureConnect");
  client.on("error", () => {});
  return client;
}

/** Starts `openssl s_client` with an open stdin. */
export function sClient(port: number, ...options: string[]): ChildProcess {
  const child = spawn("openssl", [
    "s_client",
    "-connect",
    `127.0.0.1:${port}`,
    "-quiet",
    ...options,
  ], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  children.push(child);
  return child;
}

/** Returns the output of `openssl s_client` until the server closes the connection. */
export async function visit(port: number, ...options: string[]): Promise<string> {
  const child = spawn("openssl", [
    "s_client",
    "-connect",
    `127.0.0.1:${port}`,
    "-ign_eof",
    ...options,
  ], { stdio: ["pipe", "pipe", "pipe"] });
  children.push(child);
  const all = await Promise.all([collect(child.stdout), collect(child.stderr)]);
  return all.join("");
}

export async function subject(port: number, ...options: string[]): Promise<string> {
  const child = spawn("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...options], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  children.push(child);
  return /^subject=.*$/m.exec(await collect(child.stdout))?.[0] ?? "";
}

export async function server(accepted: (peer: net.Socket) => void): Promise<net.Server> {
  const made = net.createServer({ allowHalfOpen: true }, (peer) => {
    peer.on("error", () => {});
    accepted(peer);
  });
  servers.push(made);
  made.listen(0, "127.0.0.1");
  await once(made, "listening");
  return made;
}

export function echoServer(): Promise<net.Server> {
  return server((peer) => {
    peer.on("data", (bytes) => {
      if (peer.write(bytes)) return;
      peer.pause();
      peer.once("drain", () => peer.resume());
    });
    peer.on("end", () => peer.end());
  });
}

export async function collect(readable: NodeJS.ReadableStream): Promise<string> {
  let all = "";
  readable.on("data", (bytes: Uint8Array) => all += new TextDecoder().decode(bytes));
  await once(readable, "end");
  return all;
}

export async function digest(readable: NodeJS.ReadableStream): Promise<string> {
  const hash = createHash("sha256");
  readable.on("data", (bytes: Uint8Array) => hash.update(bytes));
  await once(readable, "end");
  return hash.digest("hex");
}

/** Returns a TCP socket bound to a free port of 127.0.0.1, not yet listening. */
export function bareSocket(type: number): number {
  const fd = libc.socket(AF_INET, type, 0);
  assert.ok(fd >= 0);
  assert.ok(setOption(libc, fd, { level: SOL_SOCKET, option: SO_REUSEPORT, value: 1 }));
  const address = sockaddr(loopback(0));
  assert.equal(libc.bind(fd, address, address.length), 0);
  return fd;
}

export function boundPort(fd: number): number {
  const address = new Uint8Array(SOCKADDR_SIZE);
  assert.equal(libc.getsockname(fd, address, cInt(SOCKADDR_SIZE)), 0);
  return ip(readSockaddr(address)!).port;
}

export function freePort(): number {
  const fd = bareSocket(SOCK_STREAM | SOCK_CLOEXEC);
  const port = boundPort(fd);
  libc.close(fd);
  return port;
}

export function loopback(port: number): IpEndpoint {
  return { family: 4, address: "127.0.0.1", port };
}

export function endpointOf(listening: net.Server): IpEndpoint {
  return loopback((listening.address() as net.AddressInfo).port);
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

export async function until(condition: () => unknown, what: string): Promise<void> {
  const deadline = Date.now() + 45_000;
  while (!await condition()) {
    assert.ok(Date.now() < deadline, `timed out waiting for: ${what}`);
    await pause(5);
  }
}

/**
 * Returns the value once it has stayed the same for 40 turns of the event loop, however long they
 * take: each turn delivers all events that are due.
 */
export async function settled(value: () => number): Promise<number> {
  let last = value();
  for (let turns = 0; turns < 40; turns++) {
    await pause(5);
    const now = value();
    if (now !== last) [last, turns] = [now, 0];
  }
  return last;
}

/** Returns the open sockets of this process, except those in `before`. */
export function ownSockets(before: ReadonlySet<string> = new Set()): ReadonlySet<string> {
  const links = readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      // The descriptor that listed the directory.
      return [];
    }
  });
  return new Set(links.filter((link) => link.startsWith("socket:") && !before.has(link)));
}

/** Asserts that an endpoint is not a Unix socket. */
export function ip(endpoint: Endpoint): IpEndpoint {
  assert.notEqual(endpoint.family, "unix");
  return endpoint as IpEndpoint;
}
