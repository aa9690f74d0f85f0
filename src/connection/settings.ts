import type { Limits, Reads } from "../options/config.ts";
import type { Endpoint, IpEndpoint } from "../os/endpoint.ts";
import type { CountedNames } from "./counters.ts";
import type { ClientTlsContext } from "../runtime/tls.ts";

/** The settings of connections; all connections of a worker share them. */
export interface ConnectionSettings extends
  Reads<
    | "acceptProxy"
    | "backendConnectTimeout"
    | "halfCloseTimeout"
    | "handshakeTimeout"
    | "idleTimeout"
    | "maxLifetime"
    | "prefix"
    | "proxyTlvs"
  > {
  /** The initial address of the backend. */
  readonly backend: Endpoint;
  /** Local addresses for the backend connections, used in turn; empty: the system chooses. */
  readonly backendSources: readonly IpEndpoint[];
  /** Limits for clients; 0 is no limit, except for handshakes. */
  readonly limits: Pick<Limits, "sourceConnections" | "sourceRate"> & {
    readonly handshakes: number;
  };
  /** The ALPN protocols that are negotiated with clients. */
  readonly alpn: readonly string[];
  /** The names that are counted separately. */
  readonly counted: CountedNames;
  /** Times and sizes of each connection are measured. */
  readonly measures: boolean;
  /** The TLS context for the backend, in client mode. */
  readonly backendTls?: ClientTlsContext | undefined;
}
