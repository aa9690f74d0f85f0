/** Accepting connections. */
import type { Endpoint, IpEndpoint } from "../os/endpoint.ts";
import type { SocketOption } from "../os/socket_options.ts";
import type { Failure } from "./failure.ts";
import type { Stream, StreamHandler } from "./stream.ts";
import type { TlsContext } from "./tls.ts";

/** Where a worker accepts: a descriptor it inherited, or (no `adoptSockets`) an address to bind. */
export type ListenOn =
  | { readonly fd: number; readonly endpoint: Endpoint }
  | {
    readonly endpoint: IpEndpoint;
    readonly socketOptions: readonly SocketOption[];
    /** It listens, by this descriptor of the adapter's; called from within `listen`. */
    readonly bound?: (fd: number) => void;
  };

export interface ListenOptions {
  readonly on: ListenOn;
  /** Applied again by the adapter, since runtimes put in a backlog of their own. */
  readonly backlog: number;
  /** Absent: plain connections are accepted, whose `opened` follows at once (client mode). */
  readonly tls?: TlsContext;
  /** TLS begins when `Stream.startTls` is called; only with `capabilities.headerFirst`. */
  readonly headerFirst: boolean;
  /** A connection was accepted; the handshake begins. Returns the stream's owner; it may throw. */
  readonly accepted: (stream: Stream) => StreamHandler;
  /** Accepting itself failed (descriptors exhausted …); the adapter goes on by itself. */
  readonly failed: (failure: Failure) => void;
}

export interface Listener {
  /**
   * Stops accepting; streams live on. A descriptor given in `on` is closed in this process, at once;
   * an address that was bound here is closed when what waits in its queue was accepted. Fulfilled
   * then.
   */
  close(): Promise<void>;
  /**
   * Accepts no more until `resume`, from within `accepted` too: new connections wait in the
   * kernel's queue. Calling it twice changes nothing.
   */
  pause(): void;
  resume(): void;
  /**
   * New connections are served by this context, which differs from the first in `select` and in
   * the certificates of `identity` only: whom a listener trusts it trusts as long as it lives.
   * Sessions made before still resume where their identity is unchanged. Only with
   * `capabilities.swapCertificates`.
   */
  update(tls: TlsContext): void;
}
