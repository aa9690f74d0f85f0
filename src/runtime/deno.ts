/**
 * The adapter for Deno 2.9: `Deno.listenTls` (rustls), and libc through FFI for what it leaves out.
 * Deno is pulled (`read` and `write` return promises), the core is pushed: `DenoStream` turns one
 * into the other.
 */
import { fileURLToPath } from "node:url";
import { getSystemErrorName } from "node:util";
import { ipBytes, ipText } from "../ip.ts";
import {
  cInt,
  readSockaddr,
  setOption,
  SHUT_RDWR,
  SOCKADDR_SIZE,
  SOL_SOCKET,
} from "../platform.ts";
import { type CType, libcName, signatures } from "./libc.ts";
import type {
  Capabilities,
  Failure,
  IpEndpoint,
  Libc,
  Listener,
  ListenOptions,
  Runtime,
  Stream,
  StreamOwner,
  TlsContext,
  TlsFacts,
  TlsSettings,
} from "./types.ts";

/** The parts of Deno's API that are used here. */
interface DenoApi {
  readonly version: { readonly deno: string };
  readonly build: { readonly standalone: boolean };
  readonly mainModule: string;
  execPath(): string;
  connect(options: { hostname: string; port: number; signal: AbortSignal }): Promise<Conn>;
  listenTls(options: {
    hostname: string;
    port: number;
    reusePort?: boolean;
    tcpBacklog?: number;
    cert?: string;
    key?: string;
    [sniResolver]?: (serverName: string) => Promise<{ cert: string; key: string }>;
  }): TlsListener;
  dlopen(
    path: string,
    symbols: Record<string, { parameters: readonly CType[]; result: "i32" | "pointer" }>,
  ): { readonly symbols: Record<string, (...values: (number | Uint8Array)[]) => unknown> };
  readonly UnsafePointerView: new (pointer: unknown) => { getInt32(): number };
}

interface NetAddr {
  readonly hostname: string;
  readonly port: number;
}

interface Conn {
  readonly localAddr: NetAddr;
  readonly remoteAddr: NetAddr;
  /** Resolves with null at the peer's FIN or close_notify. */
  read(into: Uint8Array): Promise<number | null>;
  /** Resolves with how many bytes were taken: often fewer than given. */
  write(bytes: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
  close(): void;
  setNoDelay(on: boolean): void;
}

interface TlsConn extends Conn {
  handshake(): Promise<unknown>;
}

interface TlsListener {
  readonly addr: NetAddr;
  accept(): Promise<TlsConn>;
  close(): void;
}

/**
 * Undocumented (tried with 2.9.6). It is asked once for each distinct name, in lower case, and ""
 * for a client without SNI; Deno keeps the answer, also a rejection, for ever.
 */
const sniResolver: unique symbol = Symbol.for("unstableSniResolver");

const Deno = (globalThis as unknown as { readonly Deno: DenoApi }).Deno;

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

/** Deno tells neither the version of rustls nor that of its cryptography library. */
export function versions(): { runtime: string; tls: string } {
  return { runtime: `Deno ${Deno.version.deno}`, tls: "rustls with aws-lc" };
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

export const libc: Libc = openLibc();

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

/**
 * With a resolver Deno fails a handshake with EWOULDBLOCK when the ClientHello comes in more than
 * one piece, as large ones with post-quantum keys do: it waits for the first piece only (2.9.6).
 * So accepted sockets inherit a low-water mark which keeps them from being readable, and lose it
 * when the whole ClientHello is there. FIN and RST pass the mark.
 */
const HOLD = { name: "SO_RCVLOWAT", level: SOL_SOCKET, option: 18, value: 16_384 };
const MSG_PEEK = 2;
const MSG_DONTWAIT = 0x40;
/** Milliseconds between two looks; the first is 1. */
const LONGEST_LOOK_INTERVAL = 64;

const { recv } = dlopen({ recv: ["i32", "buffer", "u64", "i32"] }, "i32");
const helloBuffer = new Uint8Array(HOLD.value);

async function releaseHello(stream: DenoStream): Promise<void> {
  const release = (fd: number) => {
    const size = helloBuffer.length;
    const length = recv!(fd, helloBuffer, size, MSG_PEEK | MSG_DONTWAIT) as number;
    const hello = helloBuffer.subarray(0, Math.max(0, length));
    if (length < size && !isWholeHello(hello)) return false;
    return setOption(libc, fd, { ...HOLD, value: 1 });
  };
  for (
    let interval = 1;
    stream.isOpening;
    interval = Math.min(interval * 2, LONGEST_LOOK_INTERVAL)
  ) {
    if (descriptors.with(stream, release) ?? true) return;
    await new Promise((resolve) => setTimeout(resolve, interval));
  }
}

/**
 * RFC 8446 sections 4 and 5.1: a handshake message, in one record or more. True also for what
 * cannot be one, so that rustls refuses it.
 */
function isWholeHello(bytes: Uint8Array): boolean {
  if (bytes.length > 0 && bytes[0] !== 0x16) return true;
  if (bytes.length < 9) return false;
  const wanted = 4 + (bytes[6]! << 16 | bytes[7]! << 8 | bytes[8]!);
  let length = 0;
  let at = 0;
  while (length < wanted && at + 5 <= bytes.length) {
    const size = bytes[at + 3]! << 8 | bytes[at + 4]!;
    if (bytes[at] !== 0x16 || size === 0) return true;
    length += size;
    at += 5 + size;
  }
  return length >= wanted && at <= bytes.length;
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

/**
 * Finds the descriptors which Deno hides, by asking the kernel for the two ends of every small
 * number. Each search remembers all streams it meets, so that many resets do not cost many times
 * all descriptors.
 */
const descriptors = {
  byPorts: new Map<number, DenoStream>(),
  byFd: [] as (DenoStream | undefined)[],
  highestListener: 0,
  streams: 0,
  mostStreams: 0,

  add(stream: DenoStream): void {
    this.byPorts.set(portKey(stream.local.port, stream.remote.port), stream);
    this.mostStreams = Math.max(this.mostStreams, ++this.streams);
  },

  remove(stream: DenoStream): void {
    const key = portKey(stream.local.port, stream.remote.port);
    // Clients of different addresses can have the same port.
    if (this.byPorts.get(key) === stream) this.byPorts.delete(key);
    if (stream.fd !== -1) this.byFd[stream.fd] = undefined;
    this.streams--;
  },

  /** What `act` returns for the stream's descriptor; undefined without a connected one. */
  with<T>(stream: DenoStream, act: (fd: number) => T): T | undefined {
    if (stream.fd === -1) this.search(stream);
    // Deno may have closed the descriptor by itself, and the number may be another's by now.
    if (stream.fd === -1 || !isSocketOf(stream, socketAt(stream.fd))) return undefined;
    return act(stream.fd);
  },

  search(wanted: DenoStream): void {
    // The kernel gives the lowest free number, so none can be much higher.
    const end = this.highestListener + this.mostStreams + DESCRIPTOR_MARGIN;
    for (let fd = 0; fd < end && wanted.fd === -1; fd++) {
      if (this.byFd[fd]) continue;
      const socket = socketAt(fd);
      if (!socket?.peer) continue;
      const known = this.byPorts.get(portKey(socket.own.port, socket.peer.port));
      const stream = isSocketOf(wanted, socket) ? wanted : known;
      if (!stream || !isSocketOf(stream, socket)) continue;
      stream.fd = fd;
      this.byFd[fd] = stream;
    }
  },

  /** Throws when there is none, which would be a mistake of ours. */
  ofListener(on: IpEndpoint): number {
    for (let fd = 0; fd < HIGHEST_LISTENER; fd++) {
      const socket = socketAt(fd);
      if (!socket || socket.peer || !sameEndpoint(socket.own, on)) continue;
      this.highestListener = Math.max(this.highestListener, fd);
      return fd;
    }
    throw new Error(`no descriptor listens on ${on.address} port ${on.port}`);
  },
};

/** Transient descriptors, and sockets whose streams have closed but which Deno still holds. */
const DESCRIPTOR_MARGIN = 256;
const HIGHEST_LISTENER = 4096;

/**
 * Sends RST and drops what is unsent. Deno's `close` sends FIN, and keeps the descriptor of an
 * unfinished handshake, and of bytes which the peer does not read, until the peer goes.
 */
function cut(fd: number): void {
  // To connect to AF_UNSPEC is Linux' way to disconnect TCP. With SO_LINGER and shutdown FIN
  // would go first, and the peer could take the cut for an orderly end.
  libc.connect(fd, unspecified, unspecified.length);
}

/** A `sockaddr` of the family AF_UNSPEC, which is 0. */
const unspecified = new Uint8Array(16);
const addressBuffer = new Uint8Array(SOCKADDR_SIZE);

interface Socket {
  readonly own: IpEndpoint;
  /** Absent while it is not connected. */
  readonly peer: IpEndpoint | undefined;
}

/** The IP socket behind a descriptor. */
function socketAt(fd: number): Socket | undefined {
  const own = nameBy(libc.getsockname, fd);
  return own && { own, peer: nameBy(libc.getpeername, fd) };
}

function nameBy(call: Libc["getsockname"], fd: number): IpEndpoint | undefined {
  if (call(fd, addressBuffer, cInt(SOCKADDR_SIZE)) !== 0) return undefined;
  return readSockaddr(addressBuffer);
}

function isSocketOf(stream: DenoStream, socket: Socket | undefined): boolean {
  return socket?.peer !== undefined && sameEndpoint(socket.peer, stream.remote) &&
    sameEndpoint(socket.own, stream.local);
}

function sameEndpoint(canonical: IpEndpoint, other: IpEndpoint): boolean {
  return canonical.port === other.port && canonical.family === other.family &&
    canonical.address === ipText(ipBytes(other.address));
}

/** One number for two ports. */
function portKey(local: number, remote: number): number {
  return local * 65_536 + remote;
}

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

function openLibc(): Libc {
  const calls = dlopen(signatures, "i32") as unknown as Omit<Libc, "errno">;
  const { __errno_location: location } = dlopen({ __errno_location: [] }, "pointer");
  // One place for each thread, and this thread never changes.
  const errno = new Deno.UnsafePointerView(location!());
  return { ...calls, errno: () => errno.getInt32() };
}

function dlopen(calls: Record<string, readonly CType[]>, result: "i32" | "pointer") {
  const symbols = Object.entries(calls).map(([call, parameters]) => [call, { parameters, result }]);
  return Deno.dlopen(libcName, Object.fromEntries(symbols)).symbols;
}

type Conforms<T extends Runtime> = T;
/** Fails to compile when an export does not fit {@link Runtime}. */
export type Adapter = Conforms<typeof import("./deno.ts")>;
