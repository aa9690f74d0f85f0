/**
 * The adapter for Deno 2.9: `Deno.listenTls` and `Deno.startTls` (rustls), and libc through FFI for
 * what Deno leaves out.
 */
import "./deno/needs.ts";
import { fileURLToPath } from "node:url";
import { getSystemErrorName } from "node:util";
import { raise } from "../base/raise.ts";
import { SHUT_RDWR } from "../os/constants.ts";
import { setOption } from "../os/socket_options.ts";
import { queuesEmptied, refuseNew } from "../os/listen_queue.ts";
import { acceptAll, AcceptState } from "./deno/accept.ts";
import {
  type Conn,
  Deno,
  type DenoListener,
  type KeyPair,
  libc,
  sniResolver,
  type TlsIdentity,
} from "./deno/api.ts";
import { descriptors } from "./deno/descriptors.ts";
import { HOLD, releaseHello } from "./deno/hello.ts";
import { DenoStream, endpoint } from "./deno/stream.ts";
import type { Runtime } from "./runtime.ts";
import type { ClientTlsContext, ClientTlsSettings, TlsContext, TlsSettings } from "./tls.ts";
import type { Listener, ListenOptions } from "./listener.ts";
import type { Stream, StreamHandler } from "./stream.ts";
import type { Endpoint, IpEndpoint } from "../os/endpoint.ts";
import type { Capabilities } from "./capabilities.ts";

export const name = "deno";

export const capabilities: Capabilities = {
  backendSource: false,
  adoptSockets: false,
  swapCertificates: false,
  protocols: ["TLSv1.2", "TLSv1.3"],
  chooseProtocols: false,
  ciphers: false,
  ciphersuites: false,
  curves: false,
  preferServerCiphers: false,
  dualCertificates: false,
  sniAbort: false,
  verifyClients: false,
  headerFirst: false,
  dhParameters: false,
  staples: false,
  sessionTimeout: false,
  ticketKeys: false,
  sessionCache: false,
  engines: false,
  backendTrust: false,
  unixBackendTls: false,
  remembersNames: true,
  tlsFacts: false,
};

/** Deno does not tell what it was built with; this was read in the binary of the pinned version. */
const BUILT_WITH: Readonly<Record<string, string>> = {
  "2.9.6": "rustls 0.23.40 with aws-lc-rs 1.16.3",
};

export function versions(): { runtime: string; tls: string } {
  const { deno } = Deno.version;
  return { runtime: `Deno ${deno}`, tls: BUILT_WITH[deno] ?? "rustls" };
}

/** A compiled binary carries its flags with it; `--unstable-net` is for `reusePort`. */
export const self: readonly string[] = Deno.build.standalone ? [Deno.execPath()] : [
  Deno.execPath(),
  "run",
  "-A",
  "--unstable-net",
  "--quiet",
  Deno.mainModule.startsWith("file:") ? fileURLToPath(Deno.mainModule) : Deno.mainModule,
];

export { libc };

/** The longest that a queue is accepted from after the listener is to close, in milliseconds. */
const QUEUE_LIMIT_MS = 1000;

export const workerEnvironment = {};

/**
 * Deno checks a certificate only when it listens, so the default one is tried on a loopback port
 * that closes again at once. Throws rustls' reason.
 */
export function createTlsContext(settings: TlsSettings): DenoTlsContext {
  const number = settings.select("")!;
  const fallback = keyPair(settings, number);
  Deno.listenTls({ hostname: "127.0.0.1", port: 0, ...fallback }).close();
  // rustls gets a new configuration for every connection of a resolver, so that nothing resumes.
  const hasResolver = settings.choice || !settings.tickets;
  return { settings, hasResolver, pairs: new Map([[number, fallback]]), fallback };
}

/** Deno makes rustls' part of it anew for each connection, which fails where it cannot. */
export function createClientTls(settings: ClientTlsSettings): ClientTlsContext {
  return { settings };
}

/** V8 collects in time; glibc keeps what the TLS library has freed. */
export function collectGarbage(): void {
  libc.malloc_trim(0);
}

export function loadEngine(): never {
  throw new Error("Deno's TLS library is rustls, which loads no OpenSSL engines");
}

/** As in {@link Runtime}: the Deno build has no sessions to send. */
export function openDatagrams(): never {
  throw new Error("the Deno adapter opens no UDP sockets");
}

/** Binds with SO_REUSEPORT. Throws an Error whose `code` is the errno name. */
export function listen(options: ListenOptions): Listener {
  const { on, backlog } = options;
  if ("fd" in on) throw new Error("Deno cannot take over a listening descriptor");
  const tls = options.tls as DenoTlsContext | undefined;
  const { address: hostname, port } = on.endpoint;
  const at = { hostname, port, reusePort: true, tcpBacklog: backlog };
  const state = new AcceptState();
  let isClosing = false;
  const { listener, accepting } = tls
    ? listenTls(at, tls, options, state)
    : listenPlain(at, options, state);
  let fd: number;
  try {
    fd = descriptors.ofListener(endpoint(listener.addr));
    for (const option of [...on.socketOptions, ...tls?.hasResolver ? [HOLD] : []]) {
      if (!setOption(libc, fd, option)) throw optionError(option.name);
    }
    on.bound?.(fd);
  } catch (error) {
    state.close();
    listener.close();
    throw error;
  }
  return {
    async close() {
      if (isClosing) return;
      isClosing = true;
      refuseNew(libc, fd);
      state.resume();
      await queuesEmptied(libc, [fd], QUEUE_LIMIT_MS, 0);
      state.close();
      // Deno closes the descriptor some turns later, and clients would be taken until then.
      libc.shutdown(fd, SHUT_RDWR);
      listener.close();
      // What Deno has accepted by then may not have been told yet.
      await accepting;
    },
    pause: () => state.pause(),
    resume: () => state.resume(),
    update() {
      throw new Error("Deno cannot change the certificates of a listening socket");
    },
  };
}

/** TLS runs over TCP only: over a Unix socket Deno has none, and the stream closes as ENOTSUP. */
export function connect(
  backend: Endpoint,
  handler: StreamHandler,
  _source?: IpEndpoint,
  tls?: ClientTlsContext,
): Stream {
  const stream = new DenoStream(backend, ownEnd(backend), tls === undefined);
  stream.handler = handler;
  if (backend.family !== "unix") void stream.dial(backend, tls?.settings);
  else void stream.dialUnix(backend, tls !== undefined);
  return stream;
}

interface DenoTlsContext extends TlsContext {
  readonly hasResolver: boolean;
  /** By the numbers of their identities, as far as they were needed. */
  readonly pairs: Map<number, KeyPair>;
  /** Of the default identity. */
  readonly fallback: KeyPair;
}

type At = Parameters<typeof Deno.listen>[0];

interface Accepting {
  readonly listener: { readonly addr: DenoListener<Conn>["addr"]; close(): void };
  /** Fulfilled when the loop is over. */
  readonly accepting: Promise<void>;
}

function listenPlain(at: At, options: ListenOptions, state: AcceptState): Accepting {
  const listener = Deno.listen(at);
  return {
    listener,
    accepting: acceptAll(listener, options, state, (stream) => stream.open()),
  };
}

function listenTls(
  at: At,
  context: DenoTlsContext,
  options: ListenOptions,
  state: AcceptState,
): Accepting {
  const { settings: { alpn }, hasResolver, fallback } = context;
  const identity = hasResolver ? resolver(context) : fallback;
  const listener = Deno.listenTls({ ...at, alpnProtocols: alpn, ...identity });
  const accepting = acceptAll(listener, options, state, (stream, conn) => {
    void stream.handshake(conn);
    if (hasResolver) releaseHello(stream);
  });
  return { listener, accepting };
}

/**
 * Deno asks once for each name and keeps the answer, also a rejection, for the life of the
 * listener.
 */
function resolver({ settings, pairs }: DenoTlsContext): TlsIdentity {
  const answer = (serverName: string): KeyPair => {
    try {
      const number = settings.select(serverName)!;
      const pair = pairs.get(number) ?? keyPair(settings, number);
      pairs.set(number, pair);
      return pair;
    } catch (error) {
      raise(error);
      throw error;
    }
  };
  return { [sniResolver]: answer };
}

/** The one certificate of an identity: there are no `dualCertificates`. */
function keyPair(settings: TlsSettings, number: number): KeyPair {
  const { chain, key } = settings.identity(number).certificates[0]!;
  return { cert: chain, key };
}

function optionError(option: string): Error {
  const code = getSystemErrorName(-libc.errno());
  return Object.assign(new Error(`cannot set ${option} on the listening socket: ${code}`), {
    code,
  });
}

/** What is known of our end before the connection is there. */
function ownEnd({ family }: Endpoint): Endpoint {
  if (family === "unix") return { family, path: "" };
  return { family, address: family === 4 ? "0.0.0.0" : "::", port: 0 };
}

type Conforms<T extends Runtime> = T;
/** Fails to compile when an export does not fit {@link Runtime}. */
export type Adapter = Conforms<typeof import("./deno.ts")>;
