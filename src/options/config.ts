import type { Dialect } from "../base/dialect.ts";
import type { TlsParameters } from "../runtime/tls.ts";
import type { Reader } from "./option.ts";
import type { options, Settings } from "./table.ts";

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

/** One address to listen on, with what holds for its connections. */
export interface FrontendConfig {
  readonly listen: ListenAddress;
  /** Its own, in the order given; the last is its default. Empty: it has the global ones only. */
  readonly pemFiles: readonly PemFile[];
  /** A name that its own certificates lack is looked up among the global ones. */
  readonly matchGlobalCerts: boolean;
  /** A name that no certificate has ends the handshake with the alert `unrecognized_name`. */
  readonly sniNomatchAbort: boolean;
  readonly tls: TlsParameters;
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
  readonly tls: TlsParameters;
}

/** Where the connections of the PROXY header that a client sends before TLS come from. */
export interface AcceptProxy {
  /** `pass`: the header is forwarded as it came; `use`: its addresses become the client's. */
  readonly mode: "none" | "pass" | "use";
  /** CIDR blocks or addresses that may send one (`use` only; never empty there). */
  readonly trusted: readonly string[];
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

/** What is combined from several settings, by the key in the {@link Config}. */
export interface CombinedConfig {
  readonly dialect: Dialect;
  /** Never empty. */
  readonly frontends: readonly FrontendConfig[];
  /** Present in client mode, where the frontends' certificates and TLS settings have no use. */
  readonly backendTls?: BackendTls;
  /** The global certificates in the order given; the last is the default. */
  readonly pemFiles: readonly PemFile[];
  readonly pemDirectory?: PemDirectory;
  /** 1 or more. */
  readonly workers: number;
  readonly prefix: PrefixKind;
  /** In any order; only with `proxy-v2`. */
  readonly proxyTlvs: readonly ProxyTlv[];
  readonly acceptProxy: AcceptProxy;
  /** The facility for syslog (`daemon`, `local0` …), or "" for none. */
  readonly "log.syslog": string;
  /** Cache of responses, absolute; "" is no cache and no refresh. */
  readonly "ocsp.directory": string;
  /** With whom TLS 1.2 sessions are shared; only with a secret. */
  readonly "sessions.cachePeers"?: CachePeers;
}

/** The combined values that workers read. */
export const combinedForWorkers = ["acceptProxy", "prefix", "proxyTlvs"] as const;

type DottedConfig = RowValues & CombinedConfig;

/** Options whose rows have a key. */
export type NameWithKey = {
  [Name in keyof Settings]: typeof options[Name] extends { readonly config: object } ? Name : never;
}[keyof Settings];

/** A key as in a row: `backlog` or, with its group, `log.level`. */
export type ConfigKey = keyof DottedConfig;

/** The keys whose rows name this reader. */
export type KeyFor<R extends Reader> = keyof RowValues<R>;

/**
 * Everything that is configured, validated, in plain data that survives JSON. It has the value of
 * each option at the key in its row, `sessions.timeout` as `config.sessions.timeout`, where paths
 * have become absolute, and what is combined from several. The rows say what the values mean.
 */
export type Config = Nested<DottedConfig>;

/** The part of the configuration with these keys, for the parameter types of those who read it. */
export type Reads<K extends ConfigKey> = Nested<Pick<DottedConfig, K>>;

/** What is sent to workers, which is what the rows say that they read. */
export type WorkerSettings = Nested<
  RowValues<"worker"> & Pick<CombinedConfig, typeof combinedForWorkers[number]>
>;

/** What the log acts by. */
export type LogConfig = Reads<"log.file" | "log.format" | "log.level" | "log.syslog">["log"];

/** How much clients may take; 0 is no limit, `auto` derived from the descriptor limit. */
export type Limits = Config["limits"];

/** The dotted keys of a part of the configuration. */
export type KeysIn<Part> = {
  [K in keyof Part & string]-?: K extends GroupIn<ConfigKey> ? `${K}.${keyof Part[K] & string}` : K;
}[keyof Part & string];

/** The values of options by the keys in their rows: all, or those that reader `R` reads. */
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
