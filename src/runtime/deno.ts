/**
 * The adapter for Deno 2.9: `Deno.listenTls` (rustls), and libc through FFI for what it leaves out.
 * Deno is pulled (`read` and `write` return promises), the core is pushed: `DenoStream` turns one
 * into the other.
 */
import { fileURLToPath } from "node:url";
import { getSystemErrorName } from "node:util";
import { setOption, SHUT_RDWR } from "../platform.ts";
import {
  type Conn,
  Deno,
  libc,
  type NetAddr,
  readInto,
  sniResolver,
  type TlsConn,
  type TlsListener,
  writeFrom,
} from "./deno/api.ts";
import { Gatherer, plainSizes, ReadBuffer, tlsSizes } from "./deno/buffers.ts";
import { cut, descriptors, send } from "./deno/descriptors.ts";
import { HOLD, releaseHello } from "./deno/hello.ts";
import {
  type Capabilities,
  EARLY_BYTES,
  type Failure,
  type IpEndpoint,
  type Listener,
  type ListenOptions,
  type Runtime,
  type Stream,
  type StreamOwner,
  type TlsContext,
  type TlsFacts,
  type TlsSettings,
} from "./types.ts";

export const name = "deno";

export const capabilities: Capabilities = {
  backendSource: false,
  adoptSockets: false,
  protocols: ["TLSv1.2", "TLSv1.3"],
  chooseProtocols: false,
  ciphers: false,
  preferServerCiphers: false,
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

export const workerEnvironment = {};

/**
 * Deno checks certificates only when it listens, so each is tried on a loopback port that closes
 * again at once. Throws rustls' reason.
 */
export function createTlsContext(settings: TlsSettings): TlsContext {
  for (const { chain, key } of settings.certificates) {
    Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert: chain, key }).close();
  }
  return { settings };
}

/** Binds with SO_REUSEPORT. Throws an Error whose `code` is the errno name. */
export function listen(options: ListenOptions): Listener {
  const { on, backlog, tls } = options;
  if ("fd" in on) throw new Error("Deno cannot take over a listening descriptor");
  const { address: hostname, port } = on.endpoint;
  const listener = Deno.listenTls({
    hostname,
    port,
    reusePort: true,
    tcpBacklog: backlog,
    ...certificateOptions(tls.settings),
  });
  let fd: number;
  try {
    fd = descriptors.ofListener(endpoint(listener.addr));
    for (const option of [...on.socketOptions, ...hasResolver(tls.settings) ? [HOLD] : []]) {
      if (!setOption(libc, fd, option)) throw optionError(option.name);
    }
  } catch (error) {
    listener.close();
    throw error;
  }
  const state = { open: true };
  void acceptAll(listener, options, state);
  return {
    close() {
      if (!state.open) return;
      state.open = false;
      // Deno closes the descriptor some turns later, and clients would be taken until then.
      libc.shutdown(fd, SHUT_RDWR);
      listener.close();
    },
  };
}

export function connect(backend: IpEndpoint, owner: StreamOwner): Stream {
  const nowhere = { family: backend.family, address: backend.family === 4 ? "0.0.0.0" : "::" };
  const stream = new DenoStream(backend, { ...nowhere, port: 0 }, true);
  stream.owner = owner;
  void stream.dial();
  return stream;
}

/**
 * So many bytes a stream may bring before all others get their turn; each read counts extra. It is
 * a timer that lets them: after `setImmediate` Deno goes on for many rounds without a look at the
 * sockets.
 */
const TURN = 2_097_152;
const READ_COST = 4096;
const SEARCH_AT_WRITE = 2;
/** Milliseconds until accepting goes on after it failed, mostly for want of descriptors. */
const ACCEPT_PAUSE = 50;

function optionError(option: string): Error {
  const code = getSystemErrorName(-libc.errno());
  return Object.assign(new Error(`cannot set ${option} on the listening socket: ${code}`), {
    code,
  });
}

function hasResolver(settings: TlsSettings): boolean {
  return settings.certificates.length > 1;
}

function certificateOptions(settings: TlsSettings) {
  const pairs = settings.certificates.map(({ chain, key }) => ({ cert: chain, key }));
  // With a resolver rustls gets a new configuration for every connection: nothing resumes.
  if (!hasResolver(settings)) return pairs[0]!;
  return {
    [sniResolver]: (serverName: string) => {
      return Promise.resolve(pairs[settings.select(serverName)] ?? pairs[0]!);
    },
  };
}

async function acceptAll(
  listener: TlsListener,
  options: ListenOptions,
  state: { readonly open: boolean },
): Promise<void> {
  while (state.open) {
    try {
      const conn = await listener.accept();
      const stream = new DenoStream(endpoint(conn.remoteAddr), endpoint(conn.localAddr), false);
      void stream.handshake(conn, options.accepted);
      if (hasResolver(options.tls.settings)) void releaseHello(stream);
    } catch (error) {
      if (!state.open) return;
      try {
        options.failed(failureOf(error));
      } catch (thrown) {
        console.error(thrown);
      }
      await new Promise((resolve) => setTimeout(resolve, ACCEPT_PAUSE));
    }
  }
}

class DenoStream implements Stream {
  owner: StreamOwner = nobody;
  readonly remote: IpEndpoint;
  local: IpEndpoint;
  /** Where {@link descriptors} found this stream, or -1. */
  fd = -1;
  readonly #isPlain: boolean;
  #phase: "opening" | "open" | "closed" = "opening";
  #conn: Conn | undefined = undefined;
  #dialing: AbortController | undefined = undefined;
  #failure: Failure | undefined = undefined;

  #paused = false;
  /** A read is on its way, or a chunk is being handed over. */
  #pulling = false;
  #ended = false;
  /** Bytes at the start of the buffer that `received` has not had yet. */
  #held = 0;
  readonly #buffer: ReadBuffer;
  /** How many bytes came last. */
  #received = 0;
  /** What was read since the event loop last had its turn. */
  #turn = 0;

  readonly #queue: Uint8Array[] = [];
  /** How many bytes of the first of the queue are with the kernel. */
  #sent = 0;
  /** Bytes that `write` took before the stream was open. */
  #early = 0;
  #gathered: Gatherer | undefined = undefined;
  /** `write` has answered false, and `writable` is due. */
  #stopped = false;
  /** Writes that met nothing on its way before them. */
  #writes = 0;
  /** A write or the final `closeWrite` is on its way, or the output has ended. */
  #pushing = false;
  #finishing = false;
  #finished = false;

  constructor(remote: IpEndpoint, local: IpEndpoint, isPlain: boolean) {
    this.remote = remote;
    this.local = local;
    this.#isPlain = isPlain;
    this.#buffer = new ReadBuffer(isPlain ? plainSizes : tlsSizes);
  }

  get isOpening(): boolean {
    return this.#phase === "opening";
  }

  async handshake(conn: TlsConn, accepted: ListenOptions["accepted"]): Promise<void> {
    this.#attach(conn);
    try {
      this.owner = accepted(this);
      await conn.handshake();
    } catch (error) {
      if (this.owner === nobody) return this.#threw(error);
      // Closed without a cut: rustls may still have an alert to send, which says why.
      return this.#close(handshakeFailureOf(error));
    }
    this.#open();
  }

  async dial(): Promise<void> {
    this.#dialing = new AbortController();
    const { address: hostname, port } = this.remote;
    try {
      const conn = await Deno.connect({ hostname, port, signal: this.#dialing.signal });
      this.#dialing = undefined;
      if (this.#phase === "closed") return conn.close();
      this.local = endpoint(conn.localAddr);
      this.#attach(conn);
      conn.setNoDelay(true);
    } catch (error) {
      return this.#close(failureOf(error));
    }
    this.#open();
  }

  write(bytes: Uint8Array): boolean {
    if (this.#phase === "closed" || this.#finishing) return true;
    if (this.#phase === "opening") return this.#writeEarly(bytes);
    if (bytes.length === 0) return !this.#stopped;
    if (this.#isPlain && this.#sendNow(bytes)) return true;
    this.#queue.push(bytes);
    this.#stopped = true;
    this.#push();
    return false;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (this.#phase !== "open" || this.#pulling || this.#ended) return;
    if (this.#held === 0) return this.#pull();
    // `resume` must not call `received` from within itself.
    this.#pulling = true;
    queueMicrotask(this.#handOver);
  }

  finish(): void {
    if (this.#phase === "closed" || this.#finishing) return;
    this.#finishing = true;
    this.#push();
  }

  close(): void {
    if (this.#phase === "closed") return;
    // Without it Deno sends close_notify, and keeps the descriptor until the peer has read all.
    if (this.#conn && (!this.#isPlain || this.#isWriting)) {
      descriptors.with(this, (fd) => libc.shutdown(fd, SHUT_RDWR));
    }
    this.#close(undefined);
  }

  reset(): void {
    if (this.#phase === "closed") return;
    if (this.#conn) descriptors.with(this, cut);
    this.#close(undefined);
  }

  tls(): TlsFacts {
    return {};
  }

  #attach(conn: Conn): void {
    this.#conn = conn;
    descriptors.add(this);
  }

  #open(): void {
    if (this.#phase === "closed") return;
    this.#phase = "open";
    if (this.#gathered) this.#queue.unshift(this.#gathered.all());
    this.#gathered = undefined;
    this.#tell("opened");
    this.#push();
    if (!this.#paused) this.resume();
  }

  #pull(): void {
    this.#pulling = true;
    const into = this.#buffer.next(this.#received);
    readInto(this.#conn!, into).then(this.#onRead, this.#onReadFailed);
  }

  readonly #onRead = (count: number): void => {
    if (count === 0) return this.#end();
    this.#held = count;
    this.#handOver();
  };

  readonly #onReadFailed = (error: unknown): void => {
    // FIN without close_notify. Many clients end so, and the core counts bytes for itself.
    if (nameOf(error) === "UnexpectedEof") this.#end();
    else this.#broke(error);
  };

  readonly #handOver = (): void => {
    if (this.#phase !== "open" || this.#paused) {
      this.#pulling = false;
      return;
    }
    this.#received = this.#held;
    this.#held = 0;
    try {
      this.owner.received(this, this.#buffer.first(this.#received));
    } catch (error) {
      this.#threw(error);
    }
    if (this.#phase !== "open" || this.#paused) this.#pulling = false;
    else if (this.#hadTurn()) setTimeout(this.#pullAgain, 0);
    else this.#pull();
  };

  /** A stream that always has more would keep the event loop from all others. */
  #hadTurn(): boolean {
    this.#turn += this.#received + READ_COST;
    if (this.#turn < TURN) return false;
    this.#turn = 0;
    return true;
  }

  readonly #pullAgain = (): void => {
    if (this.#phase === "open" && !this.#paused) this.#pull();
    else this.#pulling = false;
  };

  #end(): void {
    this.#pulling = false;
    if (this.#phase === "closed") return;
    this.#ended = true;
    this.#tell("ended");
    this.#settle();
  }

  /** What comes before the stream is open becomes one write. */
  #writeEarly(bytes: Uint8Array): boolean {
    this.#early += bytes.length;
    if (this.#early > EARLY_BYTES) {
      // Nothing may overtake it, not even what would fit.
      this.#early = Infinity;
      this.#queue.push(bytes);
      this.#stopped = true;
      return false;
    }
    this.#gathered ??= new Gatherer();
    this.#gathered.add(bytes);
    return true;
  }

  /** Tries without a promise. False leaves the rest, or the error, to the other way. */
  #sendNow(bytes: Uint8Array): boolean {
    if (this.#pushing || this.#queue.length > 0) return false;
    this.#writes++;
    if (this.fd === -1) {
      // To find the descriptor costs more than it saves a stream that is written to once.
      if (this.#writes !== SEARCH_AT_WRITE || !descriptors.find(this)) return false;
    }
    const sent = send(this.fd, bytes);
    if (sent === bytes.length) return true;
    this.#sent = Math.max(0, sent);
    return false;
  }

  get #isWriting(): boolean {
    return this.#pushing && !this.#finished;
  }

  /** Starts what has to happen next to the output. */
  #push(): void {
    if (this.#phase !== "open" || this.#pushing) return;
    if (this.#queue.length > 0) this.#drain();
    else if (this.#finishing) void this.#shut(this.#conn!);
  }

  #drain(): void {
    this.#pushing = true;
    const [first] = this.#queue;
    const rest = this.#sent === 0 ? first! : first!.subarray(this.#sent);
    writeFrom(this.#conn!, rest).then(this.#onWritten, this.#onWriteFailed);
  }

  readonly #onWritten = (count: number): void => {
    if (this.#phase === "closed") return;
    this.#sent += count;
    if (this.#sent === this.#queue[0]!.length) {
      this.#queue.shift();
      this.#sent = 0;
    }
    if (this.#queue.length > 0) return this.#drain();
    this.#pushing = false;
    if (this.#stopped) {
      this.#stopped = false;
      this.#tell("writable");
    }
    this.#push();
  };

  readonly #onWriteFailed = (error: unknown): void => this.#broke(error);

  async #shut(conn: Conn): Promise<void> {
    this.#pushing = true;
    try {
      await conn.closeWrite();
    } catch (error) {
      return this.#broke(error);
    }
    this.#finished = true;
    this.#settle();
  }

  #settle(): void {
    if (this.#ended && this.#finished) this.#close(undefined);
  }

  #tell(event: "opened" | "writable" | "ended"): void {
    try {
      this.owner[event](this);
    } catch (error) {
      this.#threw(error);
    }
  }

  /** The owner's handler threw: a mistake of ours, which must cost this connection only. */
  #threw(error: unknown): void {
    this.#failure ??= { code: "ERR_INTERNAL", message: messageOf(error) };
    this.reset();
  }

  #broke(error: unknown): void {
    if (this.#phase === "closed") return;
    const failure = failureOf(error);
    // The kernel calls it a broken pipe once the peer's reset was seen; it was a reset.
    const reset = /^(EPIPE|ENOTCONN|ECONNRESET)$/.test(failure.code);
    // Unsent bytes would hold the descriptor for as long as the peer does not read them.
    if (this.#isWriting && !reset) descriptors.with(this, cut);
    this.#close(reset ? { code: "ECONNRESET", message: failure.message } : failure);
  }

  #close(failure: Failure | undefined): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#failure ??= failure;
    this.#queue.length = 0;
    this.#buffer.drop();
    this.#dialing?.abort();
    if (this.#conn) {
      descriptors.remove(this);
      this.#conn.close();
    }
    queueMicrotask(() => {
      try {
        this.owner.closed(this, this.#failure);
      } catch (error) {
        console.error(error);
      }
    });
  }
}

/** Stands in until `accepted` has named the owner. */
const nobody: StreamOwner = {
  opened() {},
  received() {},
  writable() {},
  ended() {},
  closed(_stream, failure) {
    if (failure) console.error(failure.message);
  },
};

function endpoint({ hostname, port }: NetAddr): IpEndpoint {
  return { family: hostname.includes(":") ? 6 : 4, address: hostname, port };
}

/** What Deno's error classes stand for where an error carries no `code`. */
const errnoNames: Readonly<Record<string, string>> = {
  AddrInUse: "EADDRINUSE",
  AddrNotAvailable: "EADDRNOTAVAIL",
  BrokenPipe: "EPIPE",
  ConnectionAborted: "ECONNABORTED",
  ConnectionRefused: "ECONNREFUSED",
  ConnectionReset: "ECONNRESET",
  InvalidData: "EPROTO",
  NetworkUnreachable: "ENETUNREACH",
  NotConnected: "ENOTCONN",
  PermissionDenied: "EACCES",
  TimedOut: "ETIMEDOUT",
  UnexpectedEof: "ECONNRESET",
};

function failureOf(error: unknown): Failure {
  const { code } = error as { code?: unknown };
  if (typeof code === "string") return { code, message: messageOf(error) };
  return { code: errnoNames[nameOf(error)] ?? "EIO", message: messageOf(error) };
}

/** Where it was not the network that failed, rustls' own words say most. */
function handshakeFailureOf(error: unknown): Failure {
  const message = messageOf(error);
  if (nameOf(error) === "InvalidData") return { code: message, message };
  return failureOf(error);
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

type Conforms<T extends Runtime> = T;
/** Fails to compile when an export does not fit {@link Runtime}. */
export type Adapter = Conforms<typeof import("./deno.ts")>;
