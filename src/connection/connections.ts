import { type Clock, systemClock } from "../base/clock.ts";
import type { ProxyTlv } from "../options/config.ts";
import type { Endpoint, IpEndpoint } from "../os/endpoint.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Stream, StreamHandler } from "../runtime/stream.ts";
import type { ClientTrust } from "./client_trust.ts";
import { Connection } from "./connection.ts";
import type { ConnectionContext, ConnectionEvents } from "./context.ts";
import { CONNECTED, ConnectionCounters } from "./counters.ts";
import { TimeoutQueue } from "../base/timeout_queue.ts";
import type { ConnectionFailure } from "./failure.ts";
import { Measured } from "./measured.ts";
import { Observed } from "./observed.ts";
import { HeaderPhase } from "./proxy_protocol/header_phase.ts";
import type { ConnectionSettings } from "./settings.ts";
import { IdleTimeouts } from "./idle_timeouts.ts";
import { Sources } from "./sources.ts";
import { Undelivered } from "./undelivered.ts";
import { trustedPeers } from "./trusted.ts";

/** Time before its lifetime expires in which a connection must be idle to end in order, in seconds. */
const QUIET = 5;
/** The same for short lifetimes, as a share of them. */
const QUIET_SHARE = 0.5;

/** Clients that are checked for each one that is evicted. */
const MAX_CHECKS = 32;

/** All connections of a worker, with their limits and counters. */
export class Connections implements ConnectionContext<Connection> {
  readonly settings: ConnectionSettings;
  readonly events: ConnectionEvents<Connection>;
  readonly counters: ConnectionCounters;
  /** The TLVs of `settings.proxyTlvs`. */
  readonly tlvs: ReadonlySet<ProxyTlv>;
  readonly handshakes: TimeoutQueue<Connection>;
  readonly connects: TimeoutQueue<Connection>;
  readonly halfClosed: TimeoutQueue<Connection>;
  /** Absent without a limit. */
  readonly idleTimeouts: IdleTimeouts<Connection> | undefined;
  readonly undelivered: Undelivered<Connection>;
  private readonly lifetimes: TimeoutQueue<Connection> | undefined;
  readonly lifetimeEnds: TimeoutQueue<Connection>;
  /** Absent without limits per source. */
  readonly clientSources: Sources | undefined;
  private readonly runtime: Pick<Runtime, "connect">;
  private readonly isTrusted: (peer: Endpoint) => boolean;
  private target: Endpoint;
  private sources: readonly IpEndpoint[];
  /** Passes over the handshakes in progress, each once, in search of a silent client. */
  private silentSearch: Iterator<Connection> | undefined;
  private readonly clock: Clock;
  /** Those that are open and observed. */
  readonly observed = new Set<Connection>();
  private lastId = 0;
  private openCount = 0;
  private maxOpen = 0;

  /** Throws a RangeError if a trusted proxy is not an address. */
  constructor(
    runtime: Pick<Runtime, "connect">,
    settings: ConnectionSettings,
    events: ConnectionEvents<Connection>,
    clock: Clock = systemClock,
  ) {
    this.runtime = runtime;
    this.settings = settings;
    this.events = events;
    this.clock = clock;
    this.counters = new ConnectionCounters(settings.counted);
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
    const quiet = Math.min(QUIET, maxLifetime * QUIET_SHARE);
    this.lifetimes = maxLifetime > 0
      ? timeouts(maxLifetime - quiet, (c) => c.lifetimeEnding())
      : undefined;
    this.lifetimeEnds = timeouts(quiet, (c) => c.lifetimeExpired());
    this.undelivered = new Undelivered(clock);
    const { sourceConnections, sourceRate } = settings.limits;
    if (sourceConnections || sourceRate) this.clientSources = new Sources(settings.limits, clock);
    this.target = settings.backend;
    this.sources = this.sourcesFor(settings.backend);
  }

  /** Returns the maximum number of connections open at once since the last call. */
  takeMaxOpen(): number {
    const { maxOpen } = this;
    this.maxOpen = this.openCount;
    return maxOpen;
  }

  /** Connections accepted so far. */
  get total(): number {
    return this.lastId;
  }

  /** Connections that still hold a descriptor. */
  get open(): number {
    return this.openCount;
  }

  /** The address for new connections. */
  set backend(backend: Endpoint) {
    this.target = backend;
    this.sources = this.sourcesFor(backend);
  }

  /**
   * Starts an accepted connection with the PROXY header, if one is expected, and the TLS handshake.
   * `frontend` is the frontend's index; `trust` is set if it requests client certificates. Returns the
   * stream's handler.
   */
  accept(client: Stream, frontend = 0, trust?: ClientTrust): StreamHandler {
    if (++this.openCount > this.maxOpen) this.maxOpen = this.openCount;
    this.counters.accepted(frontend);
    const id = ++this.lastId;
    const observed = this.events.observes?.(id) ? new Observed() : undefined;
    const isMeasured = observed !== undefined || this.settings.measures;
    const measured = isMeasured ? new Measured(this.clock.now()) : undefined;
    const connection = new Connection(this, id, client, frontend, trust, measured, observed);
    if (observed) this.observed.add(connection);
    try {
      return this.begin(connection, client);
    } catch (error) {
      this.handshakes.stop(connection);
      this.closed(connection);
      throw error;
    }
  }

  /** Counts the client's handshake, if it makes one. */
  handshakeDone({ client, measured }: Connection): void {
    const { backendTls, alpn } = this.settings;
    if (backendTls) return;
    const protocol = alpn.length > 0 ? client.alpn : undefined;
    this.counters.handshakeDone(client.tlsVersion, client.isResumed, protocol);
    if (!measured) return;
    this.counters.handshakeTook(measured.handshakeDone(this.clock.now()));
    const { group } = client;
    if (group !== undefined) this.counters.exchanged(group);
  }

  /** Called at most once for each connection. */
  failed(connection: Connection, failure: ConnectionFailure): void {
    this.counters.failed(failure);
    if (!this.settings.backendTls) this.counters.handshakeFailed(failure);
    this.events.failed(connection, failure);
  }

  /** Starts a connection to the backend. */
  connect(connection: Connection): Stream {
    const { runtime, target, sources, settings } = this;
    connection.measured?.connecting(this.clock.now());
    connection.observed?.connecting(target);
    const source = sources.length > 0 ? sources[connection.id % sources.length] : undefined;
    return runtime.connect(target, connection, source, settings.backendTls);
  }

  /** Counts a connection to the backend. */
  connected({ measured }: Connection): void {
    this.counters.values[CONNECTED]!++;
    if (measured) this.counters.connectTook(measured.connected(this.clock.now()));
  }

  /** Called by a connection when its last descriptor is closed. */
  closed(connection: Connection): void {
    const { measured } = connection;
    this.openCount--;
    measured?.closed(this.clock.now());
    this.counters.closed(connection.frontend, measured);
    this.idleTimeouts?.stop(connection);
    this.lifetimes?.stop(connection);
    this.lifetimeEnds.stop(connection);
    if (connection.source) this.clientSources!.release(connection.source);
    // The worker may exit at the event.
    if (connection.observed) this.observed.delete(connection);
    this.events.closed(connection);
  }

  private begin(connection: Connection, client: Stream): StreamHandler {
    const { mode } = this.settings.acceptProxy;
    if (this.clientSources && mode === "none") {
      const refusal = connection.admit(this.clientSources, client.remote);
      if (refusal) {
        connection.refuse(refusal);
        return connection;
      }
    }
    this.evictOne();
    this.handshakes.start(connection);
    this.lifetimes?.start(connection);
    if (mode === "none") return connection;
    return new HeaderPhase(mode, connection, mode === "pass" || this.isTrusted(client.remote));
  }

  /** Makes room for one more handshake. */
  private evictOne(): void {
    const { handshakes, settings } = this;
    if (handshakes.size < settings.limits.handshakes) return;
    const evicted = this.findSilent() ?? handshakes.oldest;
    if (!evicted) return;
    handshakes.stop(evicted);
    evicted.handshakeEvicted();
  }

  /**
   * Returns the oldest client that has sent nothing, among those that were not yet checked. A flood of
   * clients that have all sent something costs no more than a few checks per connection.
   */
  private findSilent(): Connection | undefined {
    const search = this.silentSearch ??= this.handshakes.oldestFirst();
    for (let i = 0; i < MAX_CHECKS; i++) {
      const { value, done } = search.next();
      if (done) {
        this.silentSearch = undefined;
        return undefined;
      }
      if (!value.client.hasPeerSent(true)) return value;
    }
    return undefined;
  }

  private sourcesFor(backend: Endpoint): readonly IpEndpoint[] {
    return this.settings.backendSources.filter(({ family }) => family === backend.family);
  }
}
