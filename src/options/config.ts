import type { Protocol } from "../runtime/tls.ts";

/** Which program's command line and configuration file are spoken. */
export type Dialect = "stud" | "hitch";

/** A host with a port as the user wrote it; names are not yet resolved. */
export interface Address {
  /** A name, a numeric address without brackets, or `*` for every address of this machine. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
}

/** A Unix stream socket: an absolute path, or `@name` in Linux's abstract namespace. */
export interface UnixAddress {
  readonly path: string;
}

/** A listening socket that the service manager passes on (`LISTEN_FDS`), by its name there. */
export interface ActivatedSocket {
  readonly activated: string;
}

export type ListenAddress = Address | UnixAddress | ActivatedSocket;
export type BackendAddress = Address | UnixAddress;

/** What is written to the backend before the client's first byte. */
export type PrefixKind = "none" | "write-ip" | "proxy-v1" | "proxy-v2";

/**
 * What a PROXY version 2 header tells beside the addresses, as `--proxy-tlvs` names it. `ssl` is
 * the TLV of that name with version and cipher; `cn`, `sig-alg`, `key-alg` and `client-cert` are
 * parts of it. `hitch-cert` is hitch's private TLV 0xe0.
 */
export type ProxyTlv =
  | "alpn"
  | "authority"
  | "ssl"
  | "cn"
  | "sig-alg"
  | "key-alg"
  | "client-cert"
  | "hitch-cert"
  | "crc32c"
  | "unique-id";

/** Whether a client is asked for a certificate, and what it is checked against. */
export interface ClientVerify {
  readonly mode: "none" | "optional" | "required";
  /** PEM file with one or more CAs; "" where the mode is none. */
  readonly ca: string;
  /** PEM file with a CRL for every CA; "" when there is none. */
  readonly crl: string;
}

/** One certificate with its key, as files. All paths are absolute. */
export interface PemFile {
  readonly cert: string;
  /** "" when the key is in `cert`. */
  readonly key: string;
  /** A DER file with an OCSP response, or "". */
  readonly ocspResponse: string;
  /** The response's signature is verified. */
  readonly ocspVerify: boolean;
  /** Overrides that of the frontend; absent: it does not. */
  readonly clientVerify?: ClientVerify;
}

/** What a TLS handshake is negotiated from. */
export interface TlsOptions {
  /** Oldest first, never empty. */
  readonly protocols: readonly Protocol[];
  /** OpenSSL cipher list for TLS 1.2 and older; "" is the adapter's default. */
  readonly ciphers: string;
  /** Colon list of TLS 1.3 cipher suites; "" leaves the TLS library's own. */
  readonly ciphersuites: string;
  /** Colon list of groups; "" leaves the TLS library's own. */
  readonly curves: string;
  readonly preferServerCiphers: boolean;
}

/** One address to listen on, with what holds for its connections. */
export interface FrontendConfig {
  readonly listen: ListenAddress;
  /** Its own, in the order given; the last is its default. Empty: it has the global ones only. */
  readonly pemFiles: readonly PemFile[];
  /** A name that its own certificates lack is looked up among the global ones. */
  readonly matchGlobalCerts: boolean;
  /** A name that no certificate has ends the handshake with the alert `unrecognized_name`. */
  readonly sniNomatchAbort: boolean;
  readonly tls: TlsOptions;
  readonly clientVerify: ClientVerify;
}

/** A directory of PEM files. */
export interface PemDirectory {
  /** Absolute. */
  readonly path: string;
  /** A glob for base names; "" takes all files. */
  readonly glob: string;
}

/** Client mode: plain connections in, TLS to the backend. */
export interface BackendTls {
  /** The name for SNI and verification; "" sends no SNI and verifies the address. */
  readonly serverName: string;
  readonly verify: boolean;
  /** PEM file with the CAs to trust; "" stands for the system's. */
  readonly ca: string;
  readonly tls: TlsOptions;
}

/** Where the connections of the PROXY header that a client sends before TLS come from. */
export interface AcceptProxy {
  /** `pass`: the header is forwarded as it came; `use`: its addresses become the client's. */
  readonly mode: "none" | "pass" | "use";
  /** CIDR blocks or addresses that may send one (`use` only; never empty there). */
  readonly trusted: readonly string[];
}

export interface OcspConfig {
  /** Cache of responses, absolute; "" is no cache and no refresh. */
  readonly directory: string;
  readonly verify: boolean;
  /** All in seconds. */
  readonly connectTimeout: number;
  readonly responseTimeout: number;
  readonly refreshInterval: number;
}

/** How clients that come back are spared the full handshake. */
export interface SessionConfig {
  /** They are given session tickets. */
  readonly tickets: boolean;
  /** Seconds from the full handshake; not more than `ticketRotation` where there are tickets. */
  readonly timeout: number;
  /** Whether the kernel brings a client to always the same worker; `auto` where that has a use. */
  readonly affinity: "auto" | "on" | "off";
  /** Seconds for which a key makes tickets. */
  readonly ticketRotation: number;
  /** Absolute; "" leaves keys to chance. */
  readonly ticketSecretFile: string;
  /** A `redis:` or `rediss:` URL, which may hold a password, or "". Only with a secret. */
  readonly ticketStore: string;
  /** PEM file, absolute; "" stands for the public ones. */
  readonly ticketStoreCa: string;
  /** TLS 1.2 sessions that the master keeps; 0 is none. */
  readonly cache: number;
  /** With whom they are shared; only with a secret. */
  readonly cachePeers?: CachePeers;
}

/** UDP addresses, any of which may be a multicast group. */
export interface CachePeers {
  readonly listen: Address;
  readonly peers: readonly Address[];
  /** Name, address or number; "" leaves it to the system. */
  readonly interface: string;
  /** Hops of multicast packets. */
  readonly ttl: number;
}

export interface LogConfig {
  /** 0: errors only, 1: also failed connections and the life of workers, 2: every connection. */
  readonly level: 0 | 1 | 2;
  readonly format: "text" | "json";
  /** Absolute; "" is standard error. */
  readonly file: string;
  /** The facility for syslog (`daemon`, `local0` …), or "" for none. */
  readonly syslog: string;
}

/** Whom the workers become, by name; "" leaves it. */
export interface PrivilegeConfig {
  readonly user: string;
  readonly group: string;
  /** Absolute directory for the workers' root, or "". */
  readonly chroot: string;
}

/** How much clients may take; 0 is no limit, `auto` derived from the descriptor limit. */
export interface Limits {
  /** Connections of all workers together. */
  readonly connections: number;
  /** Connections of each worker. */
  readonly workerConnections: number | "auto";
  /** Handshakes in flight in each worker. */
  readonly handshakes: number | "auto";
  /** Connections of one source address in each worker. */
  readonly sourceConnections: number;
  /** New connections a second of one source address in each worker. */
  readonly sourceRate: number;
}

/** Everything the master needs, validated, in plain data that survives JSON. */
export interface Config {
  readonly dialect: Dialect;
  /** Never empty. */
  readonly frontends: readonly FrontendConfig[];
  readonly backend: BackendAddress;
  /** Seconds between two look-ups of the backend's name; 0 is never. */
  readonly backendRefresh: number;
  /** Numeric addresses from which the backend is connected in turn; empty: the system chooses. */
  readonly backendSources: readonly string[];
  /** Present in client mode, where the frontends' certificates and TLS settings have no use. */
  readonly backendTls?: BackendTls;
  /** The global certificates in the order given; the last is the default. */
  readonly pemFiles: readonly PemFile[];
  readonly pemDirectory?: PemDirectory;
  /** A file whose lines are tried as passphrases for encrypted keys; "" asks on the terminal. */
  readonly passphraseFile: string;
  /** Protocol names, the server's favourite first. */
  readonly alpn: readonly string[];
  /** An OpenSSL engine's id, or "". */
  readonly engine: string;
  readonly ocsp: OcspConfig;
  /** 1 or more. */
  readonly workers: number;
  readonly pinWorkers: boolean;
  /** Connections that wait in each listening socket's queue. */
  readonly backlog: number;
  /** Seconds of silence before TCP probes a client. */
  readonly keepalive: number;
  readonly tcpFastopen: boolean;
  /** SO_RCVBUF and SO_SNDBUF of client sockets in bytes; 0 leaves the system's. */
  readonly recvBufsize: number;
  readonly sendBufsize: number;
  readonly prefix: PrefixKind;
  /** In any order; only with `proxy-v2`. */
  readonly proxyTlvs: readonly ProxyTlv[];
  readonly acceptProxy: AcceptProxy;
  /** Seconds from accept to the end of the TLS handshake. */
  readonly handshakeTimeout: number;
  /** Seconds from the handshake's end until the backend is connected. */
  readonly backendConnectTimeout: number;
  /** Seconds which a connection that one side has ended may be silent. */
  readonly halfCloseTimeout: number;
  /** Seconds of silence in both directions; 0 is no limit. */
  readonly idleTimeout: number;
  /** Seconds from accept; 0 is no limit. */
  readonly maxLifetime: number;
  /** Seconds that a stop waits for connections to end; 0 is none. */
  readonly drainTimeout: number;
  /** Seconds that workers of an old configuration may keep their connections; 0 is no limit. */
  readonly reloadDrainTimeout: number;
  readonly limits: Limits;
  readonly sessions: SessionConfig;
  /** Generations of workers that may live at once, the current one among them; 2 or more. */
  readonly maxGenerations: number;
  /** Seconds without an answer after which a worker is ended; 0 is never. */
  readonly watchdog: number;
  /** Certificate files that change are loaded without being told. */
  readonly watch: boolean;
  readonly log: LogConfig;
  /** Seconds between two reports of what each worker has done; 0 is never. */
  readonly statsInterval: number;
  readonly privileges: PrivilegeConfig;
  readonly daemon: boolean;
  /** Absolute; "" is none. */
  readonly pidFile: string;
  /** hitch's `--dbg-listen`: a file that gets one `IPv4:port` line per IPv4 address; "" is none. */
  readonly listenReport: string;
}
