import { type Clock, systemClock } from "../base/clock.ts";
import type { ProxyTlv } from "../options/config.ts";
import type { Endpoint, IpEndpoint } from "../os/endpoint.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Stream, StreamHandler } from "../runtime/stream.ts";
import type { ClientTrust } from "./client_trust.ts";
import { Connection, type ConnectionContext, type ConnectionEvents } from "./connection.ts";
import { ACCEPTED, ConnectionCounters } from "./counters.ts";
import { TimeoutQueue } from "../base/timeout_queue.ts";
import type { ConnectionFailure } from "./failure.ts";
import { HeaderPhase } from "./proxy_protocol/header_phase.ts";
import type { ConnectionSettings } from "./settings.ts";
import { IdleTimeouts } from "./idle_timeouts.ts";
import { Sources } from "./sources.ts";
import { trustedPeers } from "./trusted.ts";

/** All connections of a worker. */
export class Connections implements ConnectionContext {
  readonly settings: ConnectionSettings;
  readonly events: ConnectionEvents;
  readonly counters: ConnectionCounters;
  /** What `settings.proxyTlvs` lists. */
  readonly tlvs: ReadonlySet<ProxyTlv>;
  readonly handshakes: TimeoutQueue<Connection>;
  readonly connects: TimeoutQueue<Connection>;
  readonly halfClosed: TimeoutQueue<Connection>;
  /** Absent without a limit. */
  readonly idleTimeouts: IdleTimeouts<Connection> | undefined;
  private readonly lifetimes: TimeoutQueue<Connection> | undefined;
  /** Absent where no source has a limit. */
  readonly clientSources: Sources | undefined;
  private readonly runtime: Pick<Runtime, "connect">;
  private readonly isTrusted: (peer: Endpoint) => boolean;
  private target: Endpoint;
  private sources: readonly IpEndpoint[];
  private lastId = 0;
  private openCount = 0;
  private maxOpen = 0;

  /** Throws a RangeError for a trusted proxy that is no address. */
  constructor(
    runtime: Pick<Runtime, "connect">,
    settings: ConnectionSettings,
    events: ConnectionEvents,
    clock: Clock = systemClock,
  ) {
    this.runtime = runtime;
    this.settings = settings;
    this.events = events;
    this.counters = new ConnectionCounters(settings.alpn);
    this.tlvs = new Set(settings.proxyTlvs);
    this.isTrusted = trustedPeers(settings.acceptProxy.trusted);
    const timeouts = (seconds: number, expired: (connection: Connection) => void) =>
      new TimeoutQueue(seconds, expired, clock);
    this.handshakes = timeouts(settings.handshakeTimeout, (c) => c.handshakeTimedOut());
    this.connects = timeouts(settings.backendConnectTimeout, (c) => c.connectTimedOut());
    this.halfClosed = timeouts(settings.halfCloseTimeout, (c) => c.halfCloseTimedOut());
    const { idleTimeout, maxLifetime } = settings;
    this.idleTimeouts = idleTimeout > 0
      ? new IdleTimeouts(idleTimeout, (c) => c.idleTimedOut(), clock)
      : undefined;
    this.lifetimes = maxLifetime > 0 ? timeouts(maxLifetime, (c) => c.lifetimeOver()) : undefined;
    const { sourceConnections, sourceRate } = settings.limits;
    if (sourceConnections || sourceRate) this.clientSources = new Sources(settings.limits, clock);
    this.target = settings.backend;
    this.sources = this.sourcesFor(settings.backend);
  }

  /** The most connections that were open at a time since the last call. */
  takeMaxOpen(): number {
    const { maxOpen } = this;
    this.maxOpen = this.openCount;
    return maxOpen;
  }

  /** Connections that were ever accepted. */
  get total(): number {
    return this.lastId;
  }

  /** Connections that still hold a descriptor. */
  get open(): number {
    return this.openCount;
  }

  /** New connections go here, from now on. */
  set backend(backend: Endpoint) {
    this.target = backend;
    this.sources = this.sourcesFor(backend);
  }

  /**
   * A client's connection was accepted: its life begins with the PROXY header, where one is
   * expected, and the TLS handshake. `trust` is there when its frontend asks clients for
   * certificates. Returns the owner of its stream.
   */
  accept(client: Stream, trust?: ClientTrust): StreamHandler {
    if (++this.openCount > this.maxOpen) this.maxOpen = this.openCount;
    this.counters.values[ACCEPTED]!++;
    const connection = new Connection(this, ++this.lastId, client, trust);
    try {
      return this.begin(connection, client);
    } catch (error) {
      this.handshakes.stop(connection);
      this.over(connection);
      throw error;
    }
  }

  /** The client's handshake is done, if it makes one. */
  handshakeDone(client: Stream): void {
    const { backendTls, alpn } = this.settings;
    if (backendTls) return;
    const protocol = alpn.length > 0 ? client.alpn : undefined;
    this.counters.handshakeDone(client.tlsVersion, client.isResumed, protocol);
  }

  /** To be called once at most for each connection. */
  failed(connection: Connection, failure: ConnectionFailure): void {
    this.counters.failed(failure);
    this.events.failed(connection, failure);
  }

  /** Begins a connection to the backend. */
  connect(connection: Connection): Stream {
    const { runtime, target, sources, settings } = this;
    const source = sources.length > 0 ? sources[connection.id % sources.length] : undefined;
    return runtime.connect(target, connection, source, settings.backendTls);
  }

  /** Called by a connection when its last descriptor is gone. */
  over(connection: Connection): void {
    this.openCount--;
    this.idleTimeouts?.stop(connection);
    this.lifetimes?.stop(connection);
    if (connection.source) this.clientSources!.leave(connection.source);
    this.events.over(connection);
  }

  private begin(connection: Connection, client: Stream): StreamHandler {
    const { mode } = this.settings.acceptProxy;
    if (this.clientSources && mode === "none") {
      const refusal = connection.enter(this.clientSources, client.remote);
      if (refusal) {
        connection.turnAway(refusal);
        return connection;
      }
    }
    this.makeRoom();
    this.handshakes.start(connection);
    this.lifetimes?.start(connection);
    if (mode === "none") return connection;
    return new HeaderPhase(mode, connection, mode === "pass" || this.isTrusted(client.remote));
  }

  /** For one more handshake. */
  private makeRoom(): void {
    const { handshakes, settings } = this;
    if (handshakes.size < settings.limits.handshakes) return;
    const { oldest } = handshakes;
    if (!oldest) return;
    handshakes.stop(oldest);
    oldest.handshakeEvicted();
  }

  private sourcesFor(backend: Endpoint): readonly IpEndpoint[] {
    return this.settings.backendSources.filter(({ family }) => family === backend.family);
  }
}
