import type { Limits, Reads } from "../options/config.ts";
import type { Endpoint, IpEndpoint } from "../os/endpoint.ts";
import type { ClientTlsContext } from "../runtime/tls.ts";

/** What connections act by; all of a worker have it in common. */
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
  /** Where they go at first. */
  readonly backend: Endpoint;
  /** Local addresses for the backend connections, used in turn; empty: the system chooses. */
  readonly backendSources: readonly IpEndpoint[];
  /** How much clients may take; 0 is no limit but of handshakes. */
  readonly limits: Pick<Limits, "sourceConnections" | "sourceRate"> & {
    readonly handshakes: number;
  };
  /** The protocols that are negotiated with clients. */
  readonly alpn: readonly string[];
  /** Client mode: what a backend's TLS is checked by. */
  readonly backendTls?: ClientTlsContext | undefined;
}
