/**
 * The contract between the core and a runtime. Each of `bun.ts`, `deno.ts` and `node.ts` exports
 * the members of {@link Runtime} under the same names. An adapter moves bytes and reports facts;
 * every decision (which certificate, when to give up, whom to blame) is the core's.
 */

/** What one runtime can do. A configuration that needs what is false here is refused at start. */
export interface Capabilities {
  /** The local address of a backend connection can be chosen. */
  readonly backendSource: boolean;
  /** Workers take over listening sockets which the master opened, Unix sockets among them. */
  readonly adoptSockets: boolean;
  /** `Listener.update` exists: new certificates serve new connections of a running worker. */
  readonly swapCertificates: boolean;
  /** The TLS versions that can be offered; the first is the oldest. */
  readonly protocols: readonly Protocol[];
  /** The offered versions can be chosen. */
  readonly chooseProtocols: boolean;
  /** A list of TLS 1.2 ciphers can be given. */
  readonly ciphers: boolean;
  /** A list of TLS 1.3 cipher suites can be given. */
  readonly ciphersuites: boolean;
  /** A list of groups can be given. */
  readonly curves: boolean;
  /** The server's order of ciphers can be made to count. */
  readonly preferServerCiphers: boolean;
  /** RSA and ECDSA certificates can serve one name side by side. */
  readonly dualCertificates: boolean;
  /** A ClientHello can be answered by the alert `unrecognized_name`. */
  readonly sniAbort: boolean;
  /** Clients can be asked for certificates. */
  readonly verifyClients: boolean;
  /** A PROXY header can be read before TLS. */
  readonly headerFirst: boolean;
  /** DH parameters, and so DHE ciphers, have a use. */
  readonly dhParameters: boolean;
  /** OCSP responses can be stapled. */
  readonly staples: boolean;
  /** How long sessions can be resumed can be told. */
  readonly sessionTimeout: boolean;
  /** The keys of session tickets are `TlsSettings.ticketKeys`, not the library's own. */
  readonly ticketKeys: boolean;
  /** TLS 1.2 sessions without tickets can be kept by the core. */
  readonly sessionCache: boolean;
  /** OpenSSL engines can be loaded. */
  readonly engines: boolean;
  /** In client mode the CAs can be given, and verification can be left out. */
  readonly backendTrust: boolean;
  /** In client mode the backend can be a Unix socket. */
  readonly unixBackendTls: boolean;
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

/** A Unix stream socket: "" for a peer without a name, `@name` for an abstract one. */
export interface UnixEndpoint {
  readonly family: "unix";
  readonly path: string;
}

export type Endpoint = IpEndpoint | UnixEndpoint;

/** One certificate, as PEM text that was checked by the core: `key` belongs to the first of `chain`. */
export interface Certificate {
  readonly chain: string;
  /** PKCS#8, not encrypted. */
  readonly key: string;
}

/** What one server name is served with. */
export interface Identity {
  /** One for each type of key, the favourite first; more than one only with `dualCertificates`. */
  readonly certificates: readonly Certificate[];
  /** PEM, only with `capabilities.dhParameters`. */
  readonly dhParameters?: string;
  /** Absent: no client certificate is asked for. */
  readonly verify?: VerifySettings;
  /** The OCSP response to staple just now, DER; only with `capabilities.staples`. */
  readonly staple?: () => Uint8Array | undefined;
}

/**
 * Asks clients for a certificate. The adapter lets every handshake through in which the client
 * proves that it has the key, and tells the result in `TlsFacts.peer`; with `required`, a client
 * without a certificate gets the TLS alert for it.
 */
export interface VerifySettings {
  readonly mode: "optional" | "required";
  /** PEM with the CAs; their names are told to the client. */
  readonly ca: string;
  /** PEM with CRLs, or "". */
  readonly crl: string;
}

/** What a handshake is negotiated from, in the words of the options. */
export interface TlsParameters {
  /** Oldest first, never empty. */
  readonly protocols: readonly Protocol[];
  /** OpenSSL cipher list for TLS 1.2 and older; "" is the default (`cipherItems` in openssl.ts). */
  readonly ciphers: string;
  /** Colon list of TLS 1.3 cipher suites; "" leaves the library's own. */
  readonly ciphersuites: string;
  /** Colon list of groups; "" leaves the library's own. */
  readonly curves: string;
  readonly preferServerCiphers: boolean;
}

export interface TlsSettings extends TlsParameters {
  /**
   * The number of the identity that serves this name, or undefined to end the handshake with the
   * alert `unrecognized_name` (only with `capabilities.sniAbort`). "" stands for a client without
   * SNI and always has an answer.
   */
  readonly select: (serverName: string) => number | undefined;
  /**
   * What is behind such a number. An adapter asks when a client first needs it and keeps what it
   * made of it; for `select("")` it asks at once, so that mistakes show at start. It may throw.
   */
  readonly identity: (number: number) => Identity;
  /** More than one answer of `select` is possible. */
  readonly choice: boolean;
  /** Protocol names, the server's favourite first; a client that offers only others is refused. */
  readonly alpn: readonly string[];
  /** Clients are given session tickets, and come back by them. */
  readonly tickets: boolean;
  /** Seconds for which a session can be resumed; only with `capabilities.sessionTimeout`. */
  readonly sessionTimeout: number;
  /** By which tickets are made and read, with `capabilities.ticketKeys`. */
  readonly ticketKeys?: TicketKeyring;
  /** Keeps the sessions of clients without tickets; only with `capabilities.sessionCache`. */
  readonly sessions?: SessionStore;
}

/** Sessions of TLS 1.2 and older, each of which comes back by its id under its own policy only. */
export interface SessionStore {
  /** `session` is in the TLS library's own form. */
  store(policy: string, id: Uint8Array, session: Uint8Array): void;
  /** Calls `answer` once, now or later, with such a session if one is there. */
  find(policy: string, id: Uint8Array, answer: (session: Uint8Array | undefined) => void): void;
}

/** Keys of session tickets in the form in which OpenSSL asks for them (RFC 5077 section 4). */
export interface TicketKeyring {
  /**
   * Asked at each ticket: `name` and `iv` are the ticket's, unless it `isNew`. Tickets that were made
   * under another `policy` are not read.
   */
  answer(policy: string, name: Buffer, iv: Buffer, isNew: boolean): TicketAnswer;
}

/** Whether the ticket may be taken (2: and is to be replaced by a new one), and by what; 16 bytes each. */
export type TicketAnswer = readonly [
  verdict: 0 | 1 | 2,
  hmac: Buffer,
  aes: Buffer,
  name: Buffer,
  iv: Buffer,
];

/** TLS towards the backend. */
export interface ClientTlsSettings extends TlsParameters {
  /** For SNI and verification; "" sends no SNI and verifies the address. */
  readonly serverName: string;
  /** A backend that cannot be verified fails in the handshake. */
  readonly verify: boolean;
  /** PEM with the CAs to trust. Without `capabilities.backendTrust` the runtime's own are used. */
  readonly ca: string;
  readonly alpn: readonly string[];
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
  readonly resumed?: boolean;
  /** The client's certificate, where one was asked for and sent. */
  readonly peer?: PeerCertificate;
  /** The certificate that was presented to the client, DER, where the library tells which. */
  readonly presented?: Uint8Array;
}

/** What a client showed. */
export interface PeerCertificate {
  /** DER. */
  readonly der: Uint8Array;
  /** Why it is not to be trusted, as OpenSSL's name (`CERT_REVOKED` …); absent: it is. */
  readonly verifyError?: string;
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
  readonly remote: Endpoint;
  /** Our own end, while the stream is open: for an accepted one the address the client reached. */
  readonly local: Endpoint;
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
  /**
   * Whether an open stream's handshake resumed a session, without the cost of all other facts.
   * Undefined for a plain stream, and without `capabilities.tlsFacts`.
   */
  readonly isResumed: boolean | undefined;
  /**
   * Begins TLS on an accepted stream of a listener with `headerFirst`; `early` are bytes that were
   * received after the header. Once at most; not from within `accepted`.
   */
  secure(early: Uint8Array): void;
}

/**
 * Events of a stream, in this order: opened, then received, writable, ended as they come, closed.
 * On a listener with `headerFirst`, `received` also comes before `opened`, with plain bytes, until
 * `secure` is called; nothing may be written then, and an early end is a failure.
 */
export interface StreamOwner {
  /**
   * An accepted stream has finished its TLS handshake, or was accepted without TLS; a backend
   * stream is connected, with its own TLS handshake done.
   */
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
  | { readonly fd: number; readonly endpoint: Endpoint }
  | {
    readonly endpoint: IpEndpoint;
    readonly socketOptions: readonly SocketOption[];
    /** It listens, by this descriptor of the adapter's; called from within `listen`. */
    readonly bound?: (fd: number) => void;
  };

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
  /** Absent: plain connections are accepted, whose `opened` follows at once (client mode). */
  readonly tls?: TlsContext;
  /** TLS begins when `Stream.secure` is called; only with `capabilities.headerFirst`. */
  readonly headerFirst: boolean;
  /** A connection was accepted; the handshake begins. Returns the stream's owner. */
  readonly accepted: (stream: Stream) => StreamOwner;
  /** Accepting itself failed (descriptors exhausted …); the adapter goes on by itself. */
  readonly failed: (failure: Failure) => void;
}

export interface Listener {
  /**
   * Stops accepting; streams live on. A descriptor given in `on` is closed in this process, at once;
   * an address that was bound here is closed when what waits in its queue was accepted. Fulfilled
   * then.
   */
  close(): Promise<void>;
  /**
   * Accepts no more until `resume`, from within `accepted` too: new connections wait in the
   * kernel's queue. Calling it twice changes nothing.
   */
  pause(): void;
  resume(): void;
  /**
   * New connections are served by this context, which differs from the first in `select` and in
   * the certificates of `identity` only: whom a listener trusts it trusts as long as it lives.
   * Sessions made before still resume where their identity is unchanged. Only with
   * `capabilities.swapCertificates`.
   */
  update(tls: TlsContext): void;
}

/** Certificates and settings in the runtime's own form, shared by listeners of a worker. */
export interface TlsContext {
  readonly settings: TlsSettings;
}

/** TLS towards the backend in the runtime's own form. */
export interface ClientTlsContext {
  readonly settings: ClientTlsSettings;
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
  dup2(fd: number, onto: number): number;
  epoll_ctl(epoll: number, operation: number, fd: number, event: Uint8Array): number;
  close(fd: number): number;
  setgroups(count: number, groups: Uint8Array): number;
  /** Paths are bytes that end in 0. */
  chroot(path: Uint8Array): number;
  memfd_create(name: Uint8Array, flags: number): number;
  /** Gives free memory back to the system, but for so many bytes. */
  malloc_trim(keep: number): number;
  open(path: Uint8Array, flags: number, mode: number): number;
  fchmod(fd: number, mode: number): number;
  pread(fd: number, into: Uint8Array, length: number, offset: number): number;
  write(fd: number, bytes: Uint8Array, length: number): number;
  send(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  fcntl(fd: number, command: number, argument: Uint8Array): number;
  flock(fd: number, operation: number): number;
  /** For requests without an argument. */
  ioctl(fd: number, request: number): number;
  /** 0 when there is no such interface. */
  if_nametoindex(name: Uint8Array): number;
  sched_setaffinity(pid: number, size: number, mask: Uint8Array): number;
  prctl(option: number, value: number, a: number, b: number, c: number): number;
  /** `time` is a `struct timespec`. */
  clock_gettime(clock: number, time: Uint8Array): number;
  errno(): number;
  /**
   * Where the bytes are in memory, for a structure that points to them. It holds while somebody still
   * refers to them.
   */
  addressOf(bytes: Uint8Array): bigint;
}

/** A UDP socket. */
export interface Datagrams {
  /** What cannot be sent soon is dropped: `failed` tells why. */
  send(bytes: Uint8Array, to: IpEndpoint): void;
}

export interface DatagramEvents {
  /** The bytes are the receiver's own. */
  received(bytes: Uint8Array): void;
  /** Once for each datagram that is not sent, and when none can be received. */
  failed(failure: Failure): void;
}

export interface Runtime {
  readonly name: "bun" | "deno" | "node";
  readonly capabilities: Capabilities;
  /** `{ runtime: "Bun 1.4.5", tls: "BoringSSL …" }`, for `--version`. */
  versions(): { readonly runtime: string; readonly tls: string };
  /**
   * The command that starts this same program again, on the Bun and the Node build also when its file
   * was replaced by another version; arguments are appended to it. For children of this process only.
   */
  readonly self: readonly string[];
  /** What a worker must find in its environment, beside what it may know of the master's. */
  readonly workerEnvironment: Readonly<Record<string, string>>;
  readonly libc: Libc;
  /** Builds the TLS state of a frontend. Throws an Error with the library's reason. */
  createTlsContext(settings: TlsSettings): TlsContext;
  /** Builds the TLS state for client mode. Throws an Error with the library's reason. */
  createClientTls(settings: ClientTlsSettings): ClientTlsContext;
  /** Starts accepting. Throws an Error with an errno `code` when the address cannot be had. */
  listen(options: ListenOptions): Listener;
  /**
   * Gives back what nobody uses any more, after a reload or when most connections have ended: the
   * runtime and its allocator by themselves would keep it for what may come. `withCode` lets go of compiled code as well, which is made again
   * when it is needed often: not for a process that serves connections.
   */
  collectGarbage(withCode: boolean): void;
  /**
   * Takes over an inherited UDP socket of this family, which is bound; only with
   * `capabilities.sessionCache`. Throws.
   */
  openDatagrams(fd: number, family: 4 | 6, events: DatagramEvents): Datagrams;
  /** Makes an OpenSSL engine known in this process; only with `capabilities.engines`. Throws. */
  loadEngine(id: string): void;
  /**
   * Begins a connection and returns at once; `owner.opened` or `owner.closed` follows. `reset`
   * while it is pending gives it up, with its descriptor. `source` is a local address of the same
   * family, with port 0; only where there is `capabilities.backendSource`. With `tls` a handshake
   * follows the connect, and `opened` follows both.
   */
  connect(
    backend: Endpoint,
    owner: StreamOwner,
    source?: IpEndpoint,
    tls?: ClientTlsContext,
  ): Stream;
}
