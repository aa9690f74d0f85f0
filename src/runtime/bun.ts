/**
 * The Bun adapter: `Bun.listen` with BoringSSL. Names marked UNDOCUMENTED are absent from Bun's
 * documentation and types; they were read in Bun 1.4.5's own node:net and node:tls, which is the
 * version frozen into the binary, and tests/unit/runtime.test.ts covers each of them.
 */
import { createSecureContext } from "node:tls";
import { getSystemErrorName } from "node:util";
import {
  AF_INET,
  AF_INET6,
  EINPROGRESS,
  IP_BIND_ADDRESS_NO_PORT,
  IPPROTO_IP,
  IPPROTO_TCP,
  readSockaddr,
  setOption,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  sockaddr,
  SOCKADDR_SIZE,
  TCP_QUICKACK,
} from "../platform.ts";
import { libcName, signatures } from "./libc.ts";
import { nobody } from "./nobody.ts";
import { cipherItems, contextOptions, protocols, tlsFacts } from "./openssl.ts";
import { EARLY_BYTES } from "./types.ts";
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

export const name = "bun";

export const capabilities: Capabilities = {
  backendSource: true,
  adoptSockets: true,
  protocols,
  chooseProtocols: true,
  ciphers: true,
  preferServerCiphers: true,
  remembersNames: false,
  tlsFacts: true,
};

export function versions(): { runtime: string; tls: string } {
  return {
    runtime: `Bun ${Bun.version}`,
    tls: `BoringSSL ${process.versions.boringssl?.slice(0, 12) ?? ""}`,
  };
}

/** In a compiled binary the script is inside the executable; otherwise it is named again. */
export const self: readonly string[] = Bun.isStandaloneExecutable
  ? [process.execPath]
  : [process.execPath, Bun.main];

export const workerEnvironment = {};

export const libc: Libc = openLibc();

export function createTlsContext(settings: TlsSettings): BunTlsContext {
  const ciphers = cipherItems(settings.ciphers).join(":");
  const contexts = settings.certificates.map((certificate) => {
    const { context } = createSecureContext({
      ...contextOptions(settings, certificate),
      ...(ciphers === "" ? {} : { ciphers }),
    }) as unknown as { context: NativeContext };
    return context;
  });
  return { settings, contexts };
}

export function listen(options: ListenOptions): Listener {
  const { settings, contexts } = options.tls as BunTlsContext;
  if (!("fd" in options.on)) throw new Error("the Bun adapter listens on inherited descriptors");
  const { fd } = options.on;
  const listener = Bun.listen({
    fd, // UNDOCUMENTED
    allowHalfOpen: true,
    // UNDOCUMENTED: a ready context. TLS options beside it would be ignored without a word.
    tls: { secureContext: contexts[settings.select("")]! },
    socket: {
      ...streamHandlers,
      open(native) {
        const stream = new BunStream(native, true, socketName(libc.getpeername, native.fd));
        native.data = stream;
        stream.owner = options.accepted(stream);
      },
      // UNDOCUMENTED: called only when the client sent SNI, with its spelling.
      serverName: (_listenerData, serverName) => contexts[settings.select(serverName)],
      handshake(native, ok, error) {
        const stream = native.data;
        if (!ok) {
          stream.failure = { code: error?.code ?? "EPROTO", message: handshakeReason(error) };
          return;
        }
        // BoringSSL holds the session tickets back until our first write, so a client with Nagle
        // on waits for our delayed ACK (40 ms) before it sends its second small write.
        setOption(libc, native.fd, { level: IPPROTO_TCP, option: TCP_QUICKACK, value: 1 });
        stream.isOpen = true;
        stream.owner.opened(stream);
      },
    },
  });
  // Bun calls listen(fd, 511) itself and has no option for the backlog.
  libc.listen(fd, options.backlog);
  return { close: () => listener.stop(false) };
}

/**
 * `Bun.connect` to an address cannot be given up while it is pending, so the socket is made here
 * and handed over (UNDOCUMENTED: `fd`), which `terminate` ends at any time. Bun sets TCP_NODELAY.
 */
export function connect(backend: IpEndpoint, owner: StreamOwner, source?: IpEndpoint): Stream {
  const family = backend.family === 4 ? AF_INET : AF_INET6;
  const fd = libc.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return failedStream(owner, backend, libc.errno());
  if (source) bindTo(fd, source);
  const address = sockaddrOf(backend);
  if (libc.connect(fd, address, address.length) < 0) {
    const errno = libc.errno();
    if (errno !== EINPROGRESS) {
      libc.close(fd);
      return failedStream(owner, backend, errno);
    }
  }
  const stream = new BunStream(undefined, false, address);
  stream.owner = owner;
  Bun.connect({ fd, allowHalfOpen: true, data: stream, socket: backendHandlers });
  return stream;
}

/** The queue of all streams that hold no byte, which is most of them. */
const NOTHING: Uint8Array[] = [];
Object.freeze(NOTHING);

class BunStream implements Stream {
  owner: StreamOwner = nobody;
  native: NativeSocket | undefined;
  /** A `sockaddr`, kept because Bun forgets the peer when the socket closes. */
  readonly peer: Uint8Array;
  failure: Failure | undefined;
  /** Bytes which `write` took and the kernel did not: one chunk, seldom more. */
  queue = NOTHING;
  earlyBytes = 0;
  isOpen = false;
  isTls: boolean;
  isBlocked = false;
  isFinishing = false;
  hasEnded = false;
  isGivenUp = false;

  constructor(native: NativeSocket | undefined, isTls: boolean, peer: Uint8Array) {
    this.native = native;
    this.isTls = isTls;
    this.peer = peer;
  }

  get remote(): IpEndpoint {
    return readSockaddr(this.peer) ?? UNKNOWN;
  }

  get local(): IpEndpoint {
    const address = this.native && socketName(libc.getsockname, this.native.fd);
    return address && readSockaddr(address) || UNKNOWN;
  }

  write(bytes: Uint8Array): boolean {
    if (this.isFinishing || !this.native) return true;
    if (this.isOpen && this.queue.length === 0) {
      const taken = this.native.write(bytes);
      if (taken === bytes.length || taken < 0) return true;
      bytes = bytes.subarray(taken);
    }
    if (this.queue === NOTHING) this.queue = [];
    this.queue.push(bytes);
    if (!this.isOpen && (this.earlyBytes += bytes.length) <= EARLY_BYTES) return true;
    this.isBlocked = true;
    return false;
  }

  pause(): void {
    this.native?.pause();
  }

  resume(): void {
    this.native?.resume();
  }

  finish(): void {
    if (this.isFinishing) return;
    this.isFinishing = true;
    if (this.isOpen && this.queue.length === 0) this.end();
  }

  close(): void {
    this.isGivenUp = true;
    this.native?.close();
  }

  reset(): void {
    this.isGivenUp = true;
    this.native?.terminate();
  }

  /** Everything is out. After the peer's end, Bun alone would wait for one more event. */
  private end(): void {
    this.native?.shutdown();
    if (this.hasEnded) this.native?.close();
  }

  tls(): TlsFacts {
    const native = this.native;
    if (!native || !this.isTls) return {};
    const cipher = native.getCipher()?.name;
    return tlsFacts(native.getServername(), native.getTLSVersion(), cipher, native.alpnProtocol);
  }

  /** The kernel has room again. */
  flush(): void {
    while (this.queue.length > 0) {
      const bytes = this.queue[0]!;
      const taken = this.native!.write(bytes);
      if (taken < 0) break;
      if (taken < bytes.length) {
        this.queue[0] = bytes.subarray(taken);
        return;
      }
      this.queue.shift();
    }
    this.queue = NOTHING;
    if (this.isFinishing) this.end();
    if (this.isBlocked) {
      this.isBlocked = false;
      this.owner.writable(this);
    }
  }
}

const streamHandlers = {
  data(native: NativeSocket, bytes: Uint8Array) {
    native.data.owner.received(native.data, bytes);
  },
  drain(native: NativeSocket) {
    // Bun also reports room around the handshake and the end, when nothing waits here.
    if (native.data.isOpen && native.data.queue.length > 0) native.data.flush();
  },
  end(native: NativeSocket) {
    native.data.hasEnded = true;
    // The FIN of a failed handshake is told by `handshake` and `close`.
    if (native.data.isOpen) native.data.owner.ended(native.data);
  },
  close(native: NativeSocket, error: NativeError | undefined) {
    const stream = native.data;
    stream.native = undefined;
    // After our own FIN, Bun tells the peer's by `close` alone.
    const saidAll = stream.isOpen && stream.isFinishing && stream.queue.length === 0;
    if (saidAll && !error && !stream.failure && !stream.hasEnded && !stream.isGivenUp) {
      stream.hasEnded = true;
      stream.owner.ended(stream);
    }
    stream.queue = NOTHING;
    stream.owner.closed(stream, closeReason(stream, error));
  },
  /** A handler threw: only this stream is ended for it. */
  error(native: NativeSocket, error: Error) {
    native.data.failure = { code: "ERR_INTERNAL", message: error.message };
    native.terminate();
  },
};

const backendHandlers = {
  ...streamHandlers,
  open(native: NativeSocket) {
    native.data.native = native;
  },
  // The first report of room means that the connection stands. To write before it would take the
  // errno of a failed connect out of the socket, and `close` could not tell it.
  drain(native: NativeSocket) {
    const stream = native.data;
    const finishedEarly = !stream.isOpen && stream.isFinishing;
    connected(stream);
    if (stream.queue.length > 0 || finishedEarly) stream.flush();
  },
  data(native: NativeSocket, bytes: Uint8Array) {
    connected(native.data);
    native.data.owner.received(native.data, bytes);
  },
  end(native: NativeSocket) {
    connected(native.data);
    streamHandlers.end(native);
  },
};

function connected(stream: BunStream): void {
  if (stream.isOpen) return;
  stream.isOpen = true;
  // The prefix and the client's first bytes leave in one segment.
  if (stream.queue.length > 1) stream.queue = [Buffer.concat(stream.queue)];
  stream.owner.opened(stream);
}

function closeReason(stream: BunStream, error: NativeError | undefined): Failure | undefined {
  if (stream.isGivenUp) return undefined;
  if (stream.failure) return stream.failure;
  if (error) return { code: error.code ?? "EIO", message: error.message };
  if (stream.hasEnded && stream.isFinishing) return undefined;
  return { code: "EPROTO", message: "the connection broke off" };
}

/** A backend stream that could not even begin to connect. */
function failedStream(owner: StreamOwner, backend: IpEndpoint, errno: number): Stream {
  const stream = new BunStream(undefined, false, sockaddrOf(backend));
  stream.owner = owner;
  const code = getSystemErrorName(-errno);
  queueMicrotask(() =>
    stream.owner.closed(stream, stream.isGivenUp ? undefined : { code, message: `connect ${code}` })
  );
  return stream;
}

/** BoringSSL's reason alone: `error:1000009c:SSL routines:OPENSSL_internal:HTTP_REQUEST`. */
function handshakeReason(error: NativeError | undefined): string {
  if (!error) return "unknown reason";
  if (error.code === "ECONNRESET") return "the client left before its end";
  return error.message.split(":").at(-1)!.replaceAll("_", " ").toLowerCase();
}

const nameBuffer = new Uint8Array(SOCKADDR_SIZE);
const nameLength = new Int32Array(1);
const nameLengthBytes = new Uint8Array(nameLength.buffer);

/**
 * A `sockaddr` by one call, where Bun's properties for address and port make one each. Empty for a
 * client that reset its connection before it was accepted.
 */
function socketName(call: Libc["getpeername"], fd: number): Uint8Array {
  nameLength[0] = SOCKADDR_SIZE;
  const length = call(fd, nameBuffer, nameLengthBytes) === 0 ? nameLength[0] : 0;
  return nameBuffer.slice(0, length);
}

/** A bind that fails (a source lost since the start) lets the system choose. */
function bindTo(fd: number, source: IpEndpoint): void {
  setOption(libc, fd, { level: IPPROTO_IP, option: IP_BIND_ADDRESS_NO_PORT, value: 1 });
  const address = sockaddrOf(source);
  libc.bind(fd, address, address.length);
}

const sockaddrs = new WeakMap<IpEndpoint, Uint8Array>();

/** Made once for the few endpoints that all connections share. */
function sockaddrOf(endpoint: IpEndpoint): Uint8Array {
  const known = sockaddrs.get(endpoint);
  if (known) return known;
  const made = sockaddr(endpoint);
  sockaddrs.set(endpoint, made);
  return made;
}

const UNKNOWN: IpEndpoint = { family: 4, address: "0.0.0.0", port: 0 };

function openLibc(): Libc {
  const table: Record<string, { args: readonly string[]; returns: string }> = {
    __errno_location: { args: [], returns: "ptr" },
  };
  for (const [call, args] of Object.entries(signatures)) table[call] = { args, returns: "i32" };
  const { dlopen, read } = process.getBuiltinModule("bun:ffi") as unknown as BunFfi;
  const { symbols } = dlopen(libcName, table);
  return {
    ...symbols as unknown as Omit<Libc, "errno">,
    errno: () => read.i32(symbols.__errno_location!(), 0),
  };
}

interface BunTlsContext extends TlsContext {
  readonly contexts: readonly NativeContext[];
}

/** A BoringSSL SSL_CTX; opaque. */
type NativeContext = { readonly __brand: "SSL_CTX" };
type NativeError = Error & { code?: string };

interface NativeSocket {
  data: BunStream;
  readonly fd: number;
  readonly alpnProtocol: string | false | null;
  write(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
  shutdown(): void;
  close(): void;
  terminate(): void;
  getServername(): string | undefined;
  getTLSVersion(): string;
  getCipher(): { name: string | null } | undefined;
}

interface NativeHandlers {
  open(native: NativeSocket): void;
  data(native: NativeSocket, bytes: Uint8Array): void;
  drain(native: NativeSocket): void;
  end(native: NativeSocket): void;
  close(native: NativeSocket, error: NativeError | undefined): void;
  error(native: NativeSocket, error: Error): void;
  handshake?(native: NativeSocket, ok: boolean, error: NativeError | undefined): void;
  serverName?(listenerData: unknown, serverName: string): NativeContext | undefined;
}

interface BunFfi {
  dlopen(
    library: string,
    table: Record<string, unknown>,
  ): { symbols: Record<string, (...args: unknown[]) => number> };
  read: { i32(pointer: number, offset: number): number };
}

declare const Bun: {
  readonly version: string;
  readonly main: string;
  readonly isStandaloneExecutable?: boolean;
  listen(options: {
    fd: number;
    allowHalfOpen: boolean;
    tls: { secureContext: NativeContext };
    socket: NativeHandlers;
  }): { stop(force: boolean): void };
  connect(options: {
    fd: number;
    allowHalfOpen: boolean;
    data: BunStream;
    socket: NativeHandlers;
  }): Promise<unknown>;
};

import type * as Self from "./bun.ts";
type Fulfils<T extends Runtime> = T;
/** Fails to compile when this module no longer fulfils the contract. */
export type Check = Fulfils<typeof Self>;
