import type { TimeoutQueue } from "../base/timeout_queue.ts";
import type { ProxyTlv } from "../options/config.ts";
import type { Stream } from "../runtime/stream.ts";
import type { ConnectionCounters } from "./counters.ts";
import type { ConnectionFailure } from "./failure.ts";
import type { IdleHolder, IdleTimeouts } from "./idle_timeouts.ts";
import type { ConnectionSettings } from "./settings.ts";
import type { Sources } from "./sources.ts";
import type { DeliveryHolder, Undelivered } from "./undelivered.ts";

type Limit<C> = Pick<TimeoutQueue<C>, "start" | "stop">;

/** What a connection of the class `C` needs of its worker; all connections share it. */
export interface ConnectionContext<C extends IdleHolder & DeliveryHolder> {
  readonly settings: ConnectionSettings;
  /** The TLVs of `settings.proxyTlvs`. */
  readonly tlvs: ReadonlySet<ProxyTlv>;
  readonly handshakes: Limit<C>;
  readonly connects: Limit<C>;
  readonly halfClosed: Limit<C>;
  readonly lifetimeEnds: Pick<Limit<C>, "start">;
  readonly undelivered: Pick<Undelivered<C>, "start" | "stop">;
  /** Absent without a limit. */
  readonly idleTimeouts: Pick<IdleTimeouts<C>, "start" | "stop"> | undefined;
  /** Absent without limits per source. */
  readonly clientSources: Sources | undefined;
  readonly counters: Pick<ConnectionCounters, "values">;
  readonly events: Pick<ConnectionEvents<C>, "established">;
  /** Called when the client is ready, after its handshake if it makes one. */
  handshakeDone(connection: C): void;
  /** Starts a connection to the backend. */
  connect(connection: C): Stream;
  /** The backend is connected. */
  connected(connection: C): void;
  /** Called at most once for each connection. */
  failed(connection: C, failure: ConnectionFailure): void;
  /** Called when the last descriptor is closed. */
  closed(connection: C): void;
}

/** Events of connections, for the worker. */
export interface ConnectionEvents<C> {
  /** Whether the facts of the connection with this number are logged; absent: no. */
  observes?(id: number): boolean;
  /** The handshake is done and the backend is connected. */
  established(connection: C): void;
  /** At most once for each connection. */
  failed(connection: C, failure: ConnectionFailure): void;
  /** The last descriptor is closed. */
  closed(connection: C): void;
}
