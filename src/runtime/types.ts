/**
 * The contract between the core and a runtime. Each of `bun.ts`, `deno.ts` and `node.ts` exports
 * the members of {@link Runtime} under the same names. An adapter moves bytes and reports facts;
 * every decision (which certificate, when to give up, whom to blame) is the core's.
 */

/** What one runtime can do. A configuration that needs what is false here is refused at start. */
export interface Capabilities {
  /** The local address of a backend connection can be chosen. */
  readonly backendSource: boolean;
  /** Workers take over listening sockets which the master opened. */
  readonly adoptSockets: boolean;
  /** The TLS versions that can be offered; the first is the oldest. */
  readonly protocols: readonly Protocol[];
  /** The offered versions can be chosen. */
  readonly chooseProtocols: boolean;
  /** A list of TLS 1.2 ciphers can be given. */
  readonly ciphers: boolean;
  /** The server's order of ciphers can be made to count. */
  readonly preferServerCiphers: boolean;
  /** The TLS library keeps the answer of `TlsSettings.select` for each name for ever. */
  readonly remembersNames: boolean;
  /** SNI, TLS version and cipher of a connection can be told. */
  readonly tlsFacts: boolean;
}

export type Protocol = "TLSv1.0" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";

/** A numeric IP address with a port: `address` never holds a name, brackets or a zone. */
export interface IpEndpoint {
  readonly family: 4 | 6;
  readonly address: string;
  readonly port: number;
}

/** One certificate, as PEM text that was checked by the core: `key` belongs to the first of `chain`. */
export interface Certificate {
  readonly chain: string;
  readonly key: string;
}

export interface TlsSettings {
  readonly certificates: readonly Certificate[];
  /** The index in `certificates` that serves this name; "" stands for a client without SNI. */
  readonly select: (serverName: string) => number;
  readonly protocols: readonly Protocol[];
  /** OpenSSL cipher list for TLS 1.2 and older; "" leaves the library's own. */
  readonly ciphers: string;
  readonly preferServerCiphers: boolean;
}

/** What is known of a connection's TLS session; a member is absent where it is unknown or unused. */
export interface TlsFacts {
  /** The name as the client sent it. */
  readonly serverName?: string;
  /** `TLSv1.2`, `TLSv1.3` … */
  readonly version?: string;
  /** OpenSSL's name: `TLS_AES_256_GCM_SHA384`, `ECDHE-RSA-AES256-GCM-SHA384` … */
  readonly cipher?: string;
  readonly alpn?: string;
}

/**
 * Why a stream ended before its time. `code` is an errno name (`ECONNRESET`, `ECONNREFUSED`, …)
 * or, for a failed handshake, the TLS library's reason in its own words; `message` is for people.
 */
export interface Failure {
  readonly code: string;
  readonly message: string;
}

/** So many bytes may wait in a stream that is not open yet without stopping their source. */
export const EARLY_BYTES = 65_536;

/** One side of a connection. All calls are safe at any time, also after the stream has closed. */
export interface Stream {
  /** Receives this stream's events; the core sets it before any event can come. */
  owner: StreamOwner;
  /** The peer's end; the values stay readable after close. */
  readonly remote: IpEndpoint;
  /** Our own end, while the stream is open: for an accepted one the address the client reached. */
  readonly local: IpEndpoint;
  /**
   * Takes all of `bytes`. False means that they are not yet with the kernel: stop the source until
   * `writable`, and leave `bytes` unchanged until then. Before `opened` the bytes wait here, and up to
   * {@link EARLY_BYTES} of them answer true: to stop a source for the moment of a connect costs more
   * than to hold its first chunk. An adapter whose own chunks do not last copies those.
   * Bytes written after the stream closed or after `finish` are dropped.
   */
  write(bytes: Uint8Array): boolean;
  /**
   * Stops reading, so that the peer feels TCP back-pressure. At most what was already decrypted
   * still arrives. A chunk given to `received` lasts until `received` returns; `write` of the same
   * adapter copies what it keeps, unless this adapter's chunks last while their stream is paused.
   */
  pause(): void;
  resume(): void;
  /**
   * Half-closes: after everything taken by `write` is out, sends close_notify (TLS) and FIN.
   * Reading goes on. Calling it twice changes nothing.
   */
  finish(): void;
  /**
   * Releases the descriptor at once. What the kernel took is still delivered; bytes that wait in
   * this stream are dropped, and a close_notify is sent only by `finish`.
   */
  close(): void;
  /** Ends both directions at once with RST and without close_notify: the peer sees a cut. */
  reset(): void;
  /** What is known about the TLS session; an empty object for a plain stream. */
  tls(): TlsFacts;
}

/** Events of a stream, in this order: opened, then received, writable, ended as they come, closed. */
export interface StreamOwner {
  /** An accepted stream has finished its TLS handshake; a backend stream is connected. */
  opened(stream: Stream): void;
  received(stream: Stream, bytes: Uint8Array): void;
  /** Everything that `write` took is with the kernel; comes only after `write` returned false. */
  writable(stream: Stream): void;
  /** The peer sent FIN or close_notify: no more bytes will be received. Once at most. */
  ended(stream: Stream): void;
  /**
   * The descriptor is gone and no event follows. Exactly once for each stream, never from within
   * `accepted` or `connect`. `failure` is absent when both directions had ended
   * in order, or when the core itself called `close` or `reset`.
   */
  closed(stream: Stream, failure: Failure | undefined): void;
}

/** Where a worker accepts: a descriptor it inherited, or (no `adoptSockets`) an address to bind. */
export type ListenOn =
  | { readonly fd: number; readonly endpoint: IpEndpoint }
  | { readonly endpoint: IpEndpoint; readonly socketOptions: readonly SocketOption[] };

/** One `setsockopt` with an int value; accepted sockets inherit it from the listening one. */
export interface SocketOption {
  readonly name: string;
  readonly level: number;
  readonly option: number;
  readonly value: number;
}

export interface ListenOptions {
  readonly on: ListenOn;
  /** Applied again by the adapter, since runtimes put in a backlog of their own. */
  readonly backlog: number;
  readonly tls: TlsContext;
  /** A TCP connection was accepted; the handshake begins. Returns the stream's owner. */
  readonly accepted: (stream: Stream) => StreamOwner;
  /** Accepting itself failed (descriptors exhausted …); the adapter goes on by itself. */
  readonly failed: (failure: Failure) => void;
}

export interface Listener {
  /** Stops accepting; streams live on. A descriptor given in `on` is closed in this process. */
  close(): void;
}

/** Certificates and settings in the runtime's own form, shared by all listeners of a worker. */
export interface TlsContext {
  readonly settings: TlsSettings;
}

/** Calls to the C library. All return what C returns; after a failure `errno()` tells the reason. */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  listen(fd: number, backlog: number): number;
  connect(fd: number, address: Uint8Array, length: number): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array, length: number): number;
  getsockopt(
    fd: number,
    level: number,
    option: number,
    value: Uint8Array,
    length: Uint8Array,
  ): number;
  getsockname(fd: number, address: Uint8Array, length: Uint8Array): number;
  getpeername(fd: number, address: Uint8Array, length: Uint8Array): number;
  shutdown(fd: number, how: number): number;
  dup(fd: number): number;
  close(fd: number): number;
  setgroups(count: number, groups: Uint8Array): number;
  sched_setaffinity(pid: number, size: number, mask: Uint8Array): number;
  prctl(option: number, value: number, a: number, b: number, c: number): number;
  errno(): number;
}

export interface Runtime {
  readonly name: "bun" | "deno" | "node";
  readonly capabilities: Capabilities;
  /** `{ runtime: "Bun 1.4.5", tls: "BoringSSL …" }`, for `--version`. */
  versions(): { readonly runtime: string; readonly tls: string };
  /** The command that starts this same program again; arguments are appended to it. */
  readonly self: readonly string[];
  /** What a worker must find in its environment, beside what it may know of the master's. */
  readonly workerEnvironment: Readonly<Record<string, string>>;
  readonly libc: Libc;
  /** Builds the TLS state once for each worker. Throws an Error with the library's reason. */
  createTlsContext(settings: TlsSettings): TlsContext;
  /** Starts accepting. Throws an Error with an errno `code` when the address cannot be had. */
  listen(options: ListenOptions): Listener;
  /**
   * Begins a plain TCP connection and returns at once; `owner.opened` or `owner.closed` follows.
   * `reset` while it is pending gives it up, with its descriptor. `source` is a local address of the
   * same family, with port 0; only where there is `capabilities.backendSource`.
   */
  connect(backend: IpEndpoint, owner: StreamOwner, source?: IpEndpoint): Stream;
}
