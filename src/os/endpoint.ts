/** Addresses of sockets, as numbers and paths. */

/** A numeric IP address with a port: `address` never contains a name, brackets or a zone. */
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
