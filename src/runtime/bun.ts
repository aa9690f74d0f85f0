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
  IPPROTO_TCP,
  setOption,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  sockaddr,
  TCP_QUICKACK,
} from "../platform.ts";
import { libcName, signatures } from "./libc.ts";
import { nobody } from "./nobody.ts";
import { cipherItems, contextOptions, protocols, tlsFacts } from "./openssl.ts";
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
        const stream = new BunStream(native, true);
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
export function connect(backend: IpEndpoint, owner: StreamOwner): Stream {
  const family = backend.family === 4 ? AF_INET : AF_INET6;
  const fd = libc.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return failedStream(owner, backend, libc.errno());
  const address = sockaddr(backend);
  if (libc.connect(fd, address, address.length) < 0) {
    const errno = libc.errno();
    if (errno !== EINPROGRESS) {
      libc.close(fd);
      return failedStream(owner, backend, errno);
    }
  }
  const stream = new BunStream(undefined, false);
  stream.owner = owner;
  stream.remoteEndpoint = backend;
  Bun.connect({ fd, allowHalfOpen: true, data: stream, socket: backendHandlers });
  return stream;
}

class BunStream implements Stream {
  owner: StreamOwner = nobody;
  native: NativeSocket | undefined;
  remoteEndpoint: IpEndpoint | undefined;
  failure: Failure | undefined;
  /** Bytes which `write` took and the kernel did not: one chunk, seldom more. */
  queue: Uint8Array[] = [];
  isOpen = false;
  isTls: boolean;
  isBlocked = false;
  isFinishing = false;
  hasEnded = false;
  isGivenUp = false;

  constructor(native: NativeSocket | undefined, isTls: boolean) {
    this.native = native;
    this.isTls = isTls;
    // Bun forgets the peer's address when the socket closes.
    if (native) this.remoteEndpoint = endpoint(native.remoteAddress, native.remotePort);
  }

  get remote(): IpEndpoint {
    return this.remoteEndpoint!;
  }

  get local(): IpEndpoint {
    return endpoint(this.native?.localAddress, this.native?.localPort);
  }

  write(bytes: Uint8Array): boolean {
    if (this.isFinishing || !this.native) return true;
    if (this.isOpen && this.queue.length === 0) {
      const taken = this.native.write(bytes);
      if (taken === bytes.length || taken < 0) return true;
      bytes = bytes.subarray(taken);
    }
    this.queue.push(bytes);
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
    if (this.isOpen && this.queue.length === 0) this.native?.shutdown();
  }

  close(): void {
    this.isGivenUp = true;
    this.native?.close();
  }

  reset(): void {
    this.isGivenUp = true;
    this.native?.terminate();
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
      if (taken < 0) {
        this.queue.length = 0;
      } else if (taken < bytes.length) {
        this.queue[0] = bytes.subarray(taken);
        return;
      } else {
        this.queue.shift();
      }
    }
    if (this.isFinishing) this.native!.shutdown();
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
    stream.queue.length = 0;
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
  const stream = new BunStream(undefined, false);
  stream.owner = owner;
  stream.remoteEndpoint = backend;
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

/** Bun knows no address of a client that reset its connection before it was accepted. */
function endpoint(address = "0.0.0.0", port = 0): IpEndpoint {
  return { family: address.includes(":") ? 6 : 4, address, port };
}

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
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
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
