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
  sniResolver,
  type TlsConn,
  type TlsListener,
} from "./deno/api.ts";
import { cut, descriptors } from "./deno/descriptors.ts";
import { HOLD, releaseHello } from "./deno/hello.ts";
import type {
  Capabilities,
  Failure,
  IpEndpoint,
  Listener,
  ListenOptions,
  Runtime,
  Stream,
  StreamOwner,
  TlsContext,
  TlsFacts,
  TlsSettings,
} from "./types.ts";

export const name = "deno";

export const capabilities: Capabilities = {
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
  const stream = new DenoStream(backend, { ...nowhere, port: 0 }, PLAIN_CHUNK);
  stream.owner = owner;
  void stream.dial();
  return stream;
}

/** Room for a stream's first bytes, and all that an idle one holds. */
const SMALL_CHUNK = 4096;
/** One TLS record (RFC 8446 section 5.1): Deno never reads more than one at a time. */
const TLS_CHUNK = 16_384;
const PLAIN_CHUNK = 65_536;
/** Large buffers of each size that wait for their next use. */
const SPARE_BUFFERS = 32;
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
      const stream = new DenoStream(endpoint(conn.remoteAddr), endpoint(conn.localAddr), TLS_CHUNK);
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
  #phase: "opening" | "open" | "closed" = "opening";
  #conn: Conn | undefined = undefined;
  #dialing: AbortController | undefined = undefined;
  #failure: Failure | undefined = undefined;

  #paused = false;
  /** A `#pull` runs, or the input has ended and none may run again. */
  #pulling = false;
  #ended = false;
  /** Bytes at the start of the buffer that `received` has not had yet. */
  #held = 0;
  #small: Uint8Array | undefined = undefined;
  #large: Uint8Array | undefined = undefined;
  /** How many bytes came last. */
  #received = 0;
  readonly #largest: number;

  readonly #queue: Uint8Array[] = [];
  /** A write or the final `closeWrite` is on its way, or the output has ended. */
  #pushing = false;
  #finishing = false;
  #finished = false;

  constructor(remote: IpEndpoint, local: IpEndpoint, largest: number) {
    this.remote = remote;
    this.local = local;
    this.#largest = largest;
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
    if (bytes.length === 0) return this.#queue.length === 0;
    this.#queue.push(bytes);
    this.#push();
    return false;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (this.#phase === "open" && !this.#pulling) void this.#pull();
  }

  finish(): void {
    if (this.#phase === "closed" || this.#finishing) return;
    this.#finishing = true;
    this.#push();
  }

  close(): void {
    if (this.#phase === "closed") return;
    // Without it Deno sends close_notify, and keeps the descriptor until the peer has read all.
    if (this.#conn) descriptors.with(this, (fd) => libc.shutdown(fd, SHUT_RDWR));
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
    this.#tell("opened");
    this.#push();
    if (!this.#paused) this.resume();
  }

  async #pull(): Promise<void> {
    this.#pulling = true;
    const conn = this.#conn!;
    // `resume` must not call `received` from within itself.
    await null;
    while (this.#phase === "open" && !this.#paused) {
      if (this.#held === 0) {
        this.#held = await this.#read(conn);
        if (this.#held === 0) return;
        continue;
      }
      this.#received = this.#held;
      this.#held = 0;
      try {
        this.owner.received(this, this.#buffer().subarray(0, this.#received));
      } catch (error) {
        this.#threw(error);
      }
    }
    this.#pulling = false;
  }

  /** The number of bytes read; 0 when there will be no more. */
  async #read(conn: Conn): Promise<number> {
    this.#resize();
    try {
      const count = await conn.read(this.#buffer());
      if (count !== null) return count;
    } catch (error) {
      // FIN without close_notify. Many clients end so, and the core counts bytes for itself.
      if (nameOf(error) !== "UnexpectedEof") {
        this.#broke(error);
        return 0;
      }
    }
    if (this.#phase === "closed") return 0;
    this.#ended = true;
    this.#tell("ended");
    this.#settle();
    return 0;
  }

  #buffer(): Uint8Array {
    return this.#large ?? (this.#small ??= new Uint8Array(SMALL_CHUNK));
  }

  /**
   * Called just before a read only, when the core is done with the last bytes. A stream that
   * closes keeps its buffer: its bytes may still be on their way to the other side.
   */
  #resize(): void {
    if (this.#large === undefined) {
      if (this.#received === SMALL_CHUNK) this.#large = takeBuffer(this.#largest);
    } else if (this.#received <= SMALL_CHUNK) {
      giveBuffer(this.#large);
      this.#large = undefined;
    }
  }

  /** Starts what has to happen next to the output. */
  #push(): void {
    if (this.#phase !== "open" || this.#pushing) return;
    if (this.#queue.length > 0) void this.#drain(this.#conn!);
    else if (this.#finishing) void this.#shut(this.#conn!);
  }

  async #drain(conn: Conn): Promise<void> {
    this.#pushing = true;
    try {
      for (let bytes; (bytes = this.#queue[0]) !== undefined; this.#queue.shift()) {
        let sent = await conn.write(bytes);
        while (sent < bytes.length) sent += await conn.write(bytes.subarray(sent));
      }
    } catch (error) {
      return this.#broke(error);
    }
    if (this.#phase === "closed") return;
    this.#pushing = false;
    this.#tell("writable");
    this.#push();
  }

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
    if (this.#pushing && !this.#finished && !reset) descriptors.with(this, cut);
    this.#close(reset ? { code: "ECONNRESET", message: failure.message } : failure);
  }

  #close(failure: Failure | undefined): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#failure ??= failure;
    this.#queue.length = 0;
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

const spareBuffers = new Map<number, Uint8Array[]>();

function takeBuffer(size: number): Uint8Array {
  return spareBuffers.get(size)?.pop() ?? new Uint8Array(size);
}

function giveBuffer(buffer: Uint8Array): void {
  const spares = spareBuffers.get(buffer.length) ?? [];
  spareBuffers.set(buffer.length, spares);
  if (spares.length < SPARE_BUFFERS) spares.push(buffer);
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
