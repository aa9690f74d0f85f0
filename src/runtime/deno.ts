/**
 * The adapter for Deno 2.9: `Deno.listenTls` and `Deno.startTls` (rustls), and libc through FFI for
 * what Deno lacks.
 */
import "./deno/needs.ts";
import "./deno/debugger_signal.ts";
import "./deno/file_size_signal.ts";
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { getSystemErrorName } from "node:util";
import { raise } from "../base/raise.ts";
import { MFD_CLOEXEC, SHUT_RDWR } from "../os/constants.ts";
import { cString } from "../os/structures.ts";
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
import { failureOf } from "./deno/failures.ts";
import { HelloHold } from "./deno/hello.ts";
import { offers } from "./deno/offers.ts";
import { DenoStream, endpoint } from "./deno/stream.ts";
import type { Runtime } from "./runtime.ts";
import type {
  ClientTlsContext,
  ClientTlsSettings,
  PassedOver,
  TlsContext,
  TlsSettings,
} from "./tls.ts";
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
  versionGaps: false,
  ciphers: false,
  ciphersuites: false,
  curves: false,
  offers,
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
  noTickets: false,
  remembersNames: true,
  closeNotify: true,
  truncation: false,
  tlsFacts: false,
};

/** Deno does not report its TLS library's version; these are from the binary of the pinned version. */
const BUILT_WITH: Readonly<Record<string, string>> = {
  "2.9.6": "rustls 0.23.40 with aws-lc-rs 1.16.3",
};

export function versions(): { runtime: string; tls: string } {
  const { deno } = Deno.version;
  return { runtime: `Deno ${deno}`, tls: BUILT_WITH[deno] ?? "rustls" };
}

/** A compiled binary contains its flags; `--unstable-net` is for `reusePort`. */
export const self: string[] = Deno.build.standalone ? [Deno.execPath()] : [
  Deno.execPath(),
  "run",
  "-A",
  "--unstable-net",
  "--quiet",
  Deno.mainModule.startsWith("file:") ? fileURLToPath(Deno.mainModule) : Deno.mainModule,
];

/**
 * As in {@link Runtime}: copies the bundle to a file in memory, which children of this process load by
 * its descriptor here. The sources are many files, and a compiled binary is one that Deno reads itself.
 */
export function keepProgram(): void {
  const file = self.at(-1)!;
  if (!file.endsWith(".js")) return;
  const bytes = readFileSync(file);
  const fd = libc.memfd_create(cString("stud"), MFD_CLOEXEC);
  for (let written = 0; written < bytes.length;) {
    const count = fd < 0 ? -1 : libc.write(fd, bytes.subarray(written), bytes.length - written);
    if (count <= 0) throw new Error(`cannot keep a copy of ${file}: errno ${libc.errno()}`);
    written += count;
  }
  self.splice(-1, 1, "--ext=js", `/proc/${process.pid}/fd/${fd}`);
}

export { libc };

/** Maximum time in milliseconds for which a closing listener accepts from its queue. */
const QUEUE_LIMIT_MS = 1000;
/** How many random ports are tried to find a free one. */
const TRIES = 10;

export const workerEnvironment = {};

/**
 * As in {@link Runtime}. Deno checks a certificate only when it listens, so the default one is tried
 * on a loopback port that is closed at once. All ports that the kernel would choose from can be in
 * use.
 */
export function createTlsContext(settings: TlsSettings): DenoTlsContext {
  const number = settings.select("")!;
  const fallback = keyPair(settings, number);
  tryToListen(fallback);
  // With a resolver, rustls gets a new configuration for each connection, so that nothing resumes.
  const hasResolver = settings.choice || !settings.tickets;
  return { settings, hasResolver, pairs: new Map([[number, fallback]]), fallback };
}

/** Listens for a moment; throws what the TLS library refuses. */
function tryToListen(identity: TlsIdentity): void {
  for (let attempt = 1;; attempt++) {
    const [a, b, c, d, e] = crypto.getRandomValues(new Uint8Array(5));
    const at = { hostname: `127.${a}.${b}.${1 + c! % 254}`, port: 1024 + d! * 100 + e! };
    try {
      return Deno.listenTls({ ...at, ...identity }).close();
    } catch (error) {
      // A program that listens on every address can have this port.
      if (failureOf(error).code !== "EADDRINUSE" || attempt === TRIES) throw error;
    }
  }
}

/** As in {@link Runtime}. Deno makes rustls' configuration for each connection; errors show then. */
export function createClientTls(settings: ClientTlsSettings): ClientTlsContext {
  return { settings };
}

/** Nothing: rustls uses no lists. */
export function passedOver(): PassedOver {
  return { ciphers: "", ciphersuites: "", curves: "" };
}

/** As in {@link Runtime}: V8 collects in time, but glibc keeps what the TLS library has freed. */
export function collectGarbage(): void {
  libc.malloc_trim(0);
}

/** As in {@link Runtime}: tokio's threads end when they have nothing to do, so none can be kept. */
export function startThreads(): void {}

export function loadEngine(): never {
  throw new Error("Deno's TLS library is rustls, which cannot load OpenSSL engines");
}

/** Throws: the Deno build has no sessions to send. */
export function openDatagrams(): never {
  throw new Error("the Deno adapter opens no UDP sockets");
}

/** As in {@link Runtime}: binds with SO_REUSEPORT. */
export function listen(options: ListenOptions): Listener {
  const { on, backlog } = options;
  if ("fd" in on) throw new Error("Deno cannot adopt a listening descriptor");
  const tls = options.tls as DenoTlsContext | undefined;
  const { address: hostname, port } = on.endpoint;
  const at = { hostname, port, reusePort: true, tcpBacklog: backlog };
  const state = new AcceptState();
  let isClosing = false;
  const hold = tls && new HelloHold(tls.hasResolver);
  const { listener, accepting } = hold
    ? listenTls(at, tls, options, state, hold)
    : listenPlain(at, options, state);
  let fd: number;
  try {
    fd = descriptors.ofListener(endpoint(listener.addr));
    for (const option of on.socketOptions) {
      if (!setOption(libc, fd, option)) throw optionError(option.name);
    }
    if (hold && !hold.start(fd)) throw optionError("SO_RCVLOWAT");
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
      // Deno closes the descriptor some turns later, and would accept clients until then.
      libc.shutdown(fd, SHUT_RDWR);
      hold?.stop();
      listener.close();
      // The loop may not have seen all that Deno has accepted by then.
      await accepting;
    },
    pause: () => state.pause(),
    resume: () => state.resume(),
    update() {
      throw new Error("Deno cannot change the certificates of a listening socket");
    },
  };
}

/** As in {@link Runtime}. With TLS to a Unix socket, which Deno lacks, it closes with ENOTSUP. */
export function connect(
  backend: Endpoint,
  handler: StreamHandler,
  _source?: IpEndpoint,
  tls?: ClientTlsContext,
): Stream {
  const isTcp = backend.family !== "unix";
  const stream = new DenoStream(backend, unknownLocal(backend), tls === undefined, isTcp);
  stream.handler = handler;
  if (backend.family !== "unix") void stream.dial(backend, tls?.settings);
  else void stream.dialUnix(backend, tls !== undefined);
  return stream;
}

interface DenoTlsContext extends TlsContext {
  readonly hasResolver: boolean;
  /** By the numbers of their identities, for identities that were needed. */
  readonly pairs: Map<number, KeyPair>;
  /** The default identity's. */
  readonly fallback: KeyPair;
}

type ListenAddress = Parameters<typeof Deno.listen>[0];

interface Accepting {
  readonly listener: { readonly addr: DenoListener<Conn>["addr"]; close(): void };
  /** Resolves when the loop has ended. */
  readonly accepting: Promise<void>;
}

function listenPlain(at: ListenAddress, options: ListenOptions, state: AcceptState): Accepting {
  const listener = Deno.listen(at);
  return {
    listener,
    accepting: acceptAll(listener, options, state, (stream) => stream.open()),
  };
}

function listenTls(
  at: ListenAddress,
  context: DenoTlsContext,
  options: ListenOptions,
  state: AcceptState,
  hold: HelloHold,
): Accepting {
  const { settings: { alpn }, hasResolver, fallback } = context;
  const identity = hasResolver ? resolver(context) : fallback;
  const listener = Deno.listenTls({ ...at, alpnProtocols: alpn, ...identity });
  const accepting = acceptAll(listener, options, state, (stream, conn) => {
    void stream.handshake(conn);
    hold.accepted(stream);
  });
  return { listener, accepting };
}

/**
 * Returns the resolver that Deno calls once for each name; Deno keeps the result, also a rejection,
 * for the life of the listener.
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

/** Returns the only certificate of an identity: there are no `dualCertificates`. */
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

/** Returns our address as far as it is known before the stream is connected. */
function unknownLocal({ family }: Endpoint): Endpoint {
  if (family === "unix") return { family, path: "" };
  return { family, address: family === 4 ? "0.0.0.0" : "::", port: 0 };
}

type Conforms<T extends Runtime> = T;
/** Does not compile if an export of this module does not fit the contract. */
export type Check = Conforms<typeof import("./deno.ts")>;
