/** Accepting connections. */
import type { Endpoint, IpEndpoint } from "../os/endpoint.ts";
import type { SocketOption } from "../os/socket_options.ts";
import type { Failure } from "./failure.ts";
import type { Stream, StreamHandler } from "./stream.ts";
import type { TlsContext } from "./tls.ts";

/** Where a worker accepts: an inherited descriptor, or (without `adoptSockets`) an address to bind. */
export type ListenOn =
  | { readonly fd: number; readonly endpoint: Endpoint }
  | {
    readonly endpoint: IpEndpoint;
    readonly socketOptions: readonly SocketOption[];
    /** The adapter listens on this descriptor of its own; called from within `listen`. */
    readonly bound?: (fd: number) => void;
  };

export interface ListenOptions {
  readonly on: ListenOn;
  /** Set again by the adapter, since runtimes set a backlog of their own. */
  readonly backlog: number;
  /** Absent: connections are plain, and `opened` follows `accepted` at once (client mode). */
  readonly tls?: TlsContext;
  /** TLS starts when `Stream.startTls` is called; only with `capabilities.headerFirst`. */
  readonly headerFirst: boolean;
  /** A connection was accepted; the handshake begins. Returns the stream's handler; it may throw. */
  readonly accepted: (stream: Stream) => StreamHandler;
  /** Accepting itself failed (descriptors exhausted …); the adapter continues. */
  readonly failed: (failure: Failure) => void;
}

export interface Listener {
  /**
   * Stops accepting; open streams continue. A descriptor given in `on` is closed in this process at
   * once; a socket that was bound here is closed after its queue was accepted. Resolves then.
   */
  close(): Promise<void>;
  /**
   * Stops accepting until `resume`, also from within `accepted`: new connections wait in the
   * kernel's queue. A second call has no effect.
   */
  pause(): void;
  resume(): void;
  /**
   * Serves new connections with this context, which differs from the first in `select` and in
   * the certificates of `identity` only: a listener's trust settings never change. Earlier sessions
   * still resume if their identity is unchanged. Only with `capabilities.swapCertificates`.
   */
  update(tls: TlsContext): void;
}
