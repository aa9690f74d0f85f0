import type { Dialect } from "../base/dialect.ts";
import type { TlsParameters } from "../runtime/tls.ts";
import type { Reader } from "./option.ts";
import type { options, Settings } from "./table.ts";

/** A host and port as the user wrote them; names are not resolved yet. */
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

/** A listening socket from the service manager (`LISTEN_FDS`), by its name there. */
export interface ActivatedSocket {
  readonly activated: string;
}

export type ListenAddress = Address | UnixAddress | ActivatedSocket;
export type BackendAddress = Address | UnixAddress;

/** The prefix that is written to the backend before the client's first byte. */
export type PrefixKind = "none" | "write-ip" | "proxy-v1" | "proxy-v2";

/**
 * A TLV of a PROXY version 2 header, as `--proxy-tlvs` names it. `ssl` is the TLV of that name with
 * version and cipher; `cn`, `sig-alg`, `key-alg` and `client-cert` are parts of it. `hitch-cert` is hitch's private TLV 0xe0.
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

/** Whether clients must present a certificate, and what it is verified against. */
export interface ClientVerify {
  readonly mode: "none" | "optional" | "required";
  /** PEM file with one or more CAs; "" if the mode is none. */
  readonly ca: string;
  /** PEM file with a CRL for every CA, or "". */
  readonly crl: string;
}

/** The files of one certificate with its key. All paths are absolute. */
export interface PemFile {
  readonly cert: string;
  /** "" if the key is in `cert`. */
  readonly key: string;
  /** A DER file with an OCSP response, or "". */
  readonly ocspResponse: string;
  /** Whether the response's signature is verified. */
  readonly ocspVerify: boolean;
  /** Overrides that of the frontend. */
  readonly clientVerify?: ClientVerify;
}

/** One address to listen on, and the settings of its connections. */
export interface FrontendConfig {
  readonly listen: ListenAddress;
  /** Its own, in the order given; the last is its default. Empty: it has only the global ones. */
  readonly pemFiles: readonly PemFile[];
  /** A server name that its own certificates lack is looked up among the global ones. */
  readonly matchGlobalCerts: boolean;
  /** A server name without a certificate ends the handshake with the alert `unrecognized_name`. */
  readonly sniNomatchAbort: boolean;
  readonly tls: TlsParameters;
  readonly clientVerify: ClientVerify;
}

/** A directory of PEM files. */
export interface PemDirectory {
  /** Absolute. */
  readonly path: string;
  /** A glob for base names; "" matches all files. */
  readonly glob: string;
}

/** Client mode: plain connections in, TLS to the backend. */
export interface BackendTls {
  /** The name for SNI and verification; "" sends no SNI and verifies the address. */
  readonly serverName: string;
  readonly verify: boolean;
  /** PEM file with the CAs to trust; "" means the system's. */
  readonly ca: string;
  readonly tls: TlsParameters;
}

/** What is done with a PROXY header that a client sends before TLS. */
export interface AcceptProxy {
  /** `pass`: the header is forwarded unchanged; `use`: its addresses become the client's. */
  readonly mode: "none" | "pass" | "use";
  /** CIDR blocks or addresses that may send one (only in mode `use`, where it is never empty). */
  readonly trusted: readonly string[];
}

/** UDP addresses for session sharing, any of which may be a multicast group. */
export interface CachePeers {
  readonly listen: Address;
  readonly peers: readonly Address[];
  /** Name, address or index; "" leaves the choice to the system. */
  readonly interface: string;
  /** TTL or hop limit of multicast packets. */
  readonly ttl: number;
}

/** Values that are combined from several settings, by their key in the {@link Config}. */
export interface CombinedConfig {
  readonly dialect: Dialect;
  /** Never empty. */
  readonly frontends: readonly FrontendConfig[];
  /** Present in client mode, in which the frontends' certificates and TLS settings are unused. */
  readonly backendTls?: BackendTls;
  /** The global certificates in the order given; the last is the default. */
  readonly pemFiles: readonly PemFile[];
  readonly pemDirectory?: PemDirectory;
  /** The PEM files of CAs and CRLs that are named anywhere: all are checked, also unused ones. */
  readonly trustFiles: {
    readonly authorities: readonly string[];
    readonly lists: readonly string[];
  };
  /** 1 or more. */
  readonly workers: number;
  readonly prefix: PrefixKind;
  /** In any order; only with `proxy-v2`. */
  readonly proxyTlvs: readonly ProxyTlv[];
  readonly acceptProxy: AcceptProxy;
  /** `syslog`, `-` for standard output, an absolute path, or "" for none. */
  readonly "accessLog.output": string;
  /** The facility of an access log in syslog. */
  readonly "accessLog.facility": string;
  /** The syslog facility (`daemon`, `local0` …), or "" for none. */
  readonly "log.syslog": string;
  /** Cache directory for responses, absolute; "" disables cache and refresh. */
  readonly "ocsp.directory": string;
  /** The machines that share TLS 1.2 sessions; only with a secret. */
  readonly "sessions.cachePeers"?: CachePeers;
}

/** The combined values that workers read. */
export const combinedForWorkers = ["acceptProxy", "prefix", "proxyTlvs"] as const;

type DottedConfig = RowValues & CombinedConfig;

/** Options whose rows have a key in the {@link Config}. */
export type NameWithKey = {
  [Name in keyof Settings]: typeof options[Name] extends { readonly config: object } ? Name : never;
}[keyof Settings];

/** A dotted key as in a row: `backlog`, or `log.level` with its group. */
export type ConfigKey = keyof DottedConfig;

/** The keys whose rows name this reader. */
export type KeyFor<R extends Reader> = keyof RowValues<R>;

/**
 * The validated configuration, as plain data that survives JSON. It has the value of each option at
 * the key in its row, `sessions.timeout` as `config.sessions.timeout`, with paths made absolute, and
 * the combined values. The rows document the values.
 */
export type Config = Nested<DottedConfig>;

/** The part of the configuration with these keys, for parameter types. */
export type Reads<K extends ConfigKey> = Nested<Pick<DottedConfig, K>>;

/** The settings that are sent to workers: those whose rows name them as a reader. */
export type WorkerSettings = Nested<
  RowValues<"worker"> & Pick<CombinedConfig, typeof combinedForWorkers[number]>
>;

/** The settings of the log. */
export type LogConfig = Reads<
  "log.file" | "log.format" | "log.level" | "log.quiet" | "log.syslog"
>["log"];

/** Limits on clients; 0 means no limit, `auto` a limit derived from the descriptor limit. */
export type Limits = Config["limits"];

/** The dotted keys in a part of the configuration. */
export type KeysIn<Part> = {
  [K in keyof Part & string]-?: K extends GroupIn<ConfigKey> ? `${K}.${keyof Part[K] & string}` : K;
}[keyof Part & string];

/** The values of options by the keys in their rows: all, or those for reader `R`. */
type RowValues<R extends Reader = Reader> = {
  readonly [Name in keyof Settings as KeyOfRow<typeof options[Name], R>]: Settings[Name];
};

type KeyOfRow<Row, R extends Reader> = Row extends
  { readonly config: { readonly key: infer K; readonly readers: readonly (infer By)[] } }
  ? [By & R] extends [never] ? never : K
  : never;

/** Turns `{ backlog: number; "log.level": 0 }` into `{ backlog: number; log: { level: 0 } }`. */
type Nested<Dotted> =
  & { readonly [K in keyof Dotted as K extends `${string}.${string}` ? never : K]: Dotted[K] }
  & {
    readonly [G in GroupIn<keyof Dotted>]: {
      readonly [K in keyof Dotted as K extends `${G}.${infer Name}` ? Name : never]: Dotted[K];
    };
  };

type GroupIn<Key> = Key extends `${infer Group}.${string}` ? Group : never;
