import type { Protocol } from "../runtime/types.ts";

/** A host with a port as the user wrote it; names are not yet resolved. */
export interface Address {
  /** A name, a numeric address without brackets, or `*` for every address of this machine. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
}

/** What is written to the backend before the client's first byte. */
export type PrefixKind = "none" | "write-ip" | "proxy-v1" | "proxy-v2";

/** Everything the master needs, validated, in plain data that survives JSON. */
export interface Config {
  readonly frontends: readonly Address[];
  readonly backend: Address;
  /** Numeric addresses from which the backend is connected in turn; empty: the system chooses. */
  readonly backendSources: readonly string[];
  readonly pemFiles: readonly string[];
  /** 1 or more. */
  readonly workers: number;
  readonly pinWorkers: boolean;
  /** Connections that wait in each listening socket's queue. */
  readonly backlog: number;
  /** Seconds of silence before TCP probes a client. */
  readonly keepalive: number;
  /** Oldest first, never empty. */
  readonly protocols: readonly Protocol[];
  /** OpenSSL cipher list; "" leaves the TLS library's own. */
  readonly ciphers: string;
  readonly preferServerCiphers: boolean;
  readonly prefix: PrefixKind;
  /** Seconds from accept to the end of the TLS handshake. */
  readonly handshakeTimeout: number;
  /** Seconds from the handshake's end until the backend is connected. */
  readonly backendConnectTimeout: number;
  /** Seconds which a connection that one side has ended may be silent. */
  readonly halfCloseTimeout: number;
  /** 0: errors only, 1: also failed connections and the life of workers, 2: every connection. */
  readonly logLevel: 0 | 1 | 2;
  readonly logFormat: "text" | "json";
}
