/** One line of the access log: a connection that has ended. */

/**
 * The fields in the order of both forms. A member is undefined if it does not apply to the connection,
 * or if the build does not know it.
 */
export interface AccessRecord {
  /** When the connection ended, in milliseconds since 1970. */
  readonly time: number;
  /** Its address, as far as it is known; with `--accept-proxy` the one in its PROXY header. */
  readonly client?: string | undefined;
  /** Its name, or its address if the metrics count it among others. */
  readonly frontend: string;
  readonly service: string;
  /** The server name that the client sent. */
  readonly sni?: string | undefined;
  readonly alpn?: string | undefined;
  /** The TLS version. */
  readonly version?: string | undefined;
  readonly cipher?: string | undefined;
  /** Whether the handshake resumed a session. */
  readonly resumed?: boolean | undefined;
  /** The subject of the client's verified certificate (RFC 4514). */
  readonly subject?: string | undefined;
  /** The address that was connected, or tried. */
  readonly backend?: string | undefined;
  /** Plain bytes from the client. */
  readonly received: number;
  /** Plain bytes to the client. */
  readonly sent: number;
  /** From accept to the end of the handshake, in seconds. */
  readonly handshake?: number | undefined;
  /** Of the connect to the backend, in seconds. */
  readonly connect?: number | undefined;
  /** From accept to close, in seconds. */
  readonly total: number;
  /** `closed`, `stopped`, or the code of the failure. */
  readonly reason: string;
  /** Who ended it: `client`, `backend`, `limit`, `stop` or `internal`. */
  readonly by: string;
  readonly worker: number;
  readonly pid: number;
  /** Its number in the worker. */
  readonly connection: number;
  /** That of the PROXY header to the backend. */
  readonly uniqueId?: string | undefined;
}

/** Their names, in order. */
export const FIELDS = [
  ...["time", "client", "frontend", "service", "sni", "alpn", "version", "cipher", "resumed"],
  ...["subject", "backend", "received", "sent", "handshake", "connect", "total", "reason", "by"],
  ...["worker", "pid", "connection", "uniqueId"],
] as const satisfies readonly (keyof AccessRecord)[];
