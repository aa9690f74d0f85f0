/** Addresses of sockets, as numbers and paths. */

/**
 * A numeric IP address with a port: `address` never contains a name or brackets. A configured
 * link-local address ends in its zone, the index of an interface (`fe80::1%2`).
 */
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
