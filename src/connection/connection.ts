import { randomBytes } from "node:crypto";
import type { LogEntry } from "../base/log_entry.ts";
import { formatEndpoint } from "../options/address.ts";
import type { Stream } from "../runtime/stream.ts";
import type { ProxyTlv } from "../options/config.ts";
import { certificateFacts } from "./certificate_facts.ts";
import { type ClientTrust, rejectReason } from "./client_trust.ts";
import type { Failure } from "../runtime/failure.ts";
import type { Endpoint } from "../os/endpoint.ts";
import { BYTES_RECEIVED, BYTES_SENT, type ConnectionCounters } from "./counters.ts";
import {
  backendHandshakeFailed,
  backendLost,
  backendUnreachable,
  clientLost,
  type ConnectionFailure,
  handshakeFailed,
  isConnectFailure,
} from "./failure.ts";
import type { TimeoutQueue } from "../base/timeout_queue.ts";
import type { HeaderReceiver } from "./proxy_protocol/header_phase.ts";
import { prefixBytes } from "./prefix.ts";
import { addressesIn, type ProxyAddresses } from "./proxy_protocol/read_header.ts";
import type { ConnectionSettings } from "./settings.ts";
import type { IdleHolder, IdleTimeouts } from "./idle_timeouts.ts";
import type { Source, Sources } from "./sources.ts";

/** While a slow reader still has bytes to take, silence may last this many half-close timeouts. */
const SLOW_READER_PATIENCE = 10;

type Limit = Pick<TimeoutQueue<Connection>, "start" | "stop">;

/** What all connections of a worker share. */
export interface ConnectionContext {
  readonly settings: ConnectionSettings;
  /** What `settings.proxyTlvs` lists. */
  readonly tlvs: ReadonlySet<ProxyTlv>;
  readonly handshakes: Limit;
  readonly connects: Limit;
  readonly halfClosed: Limit;
  /** Absent without a limit. */
  readonly idleTimeouts: Pick<IdleTimeouts<Connection>, "start"> | undefined;
  /** Absent without a limit for sources. */
  readonly clientSources: Sources | undefined;
  readonly counters: Pick<ConnectionCounters, "values">;
  readonly events: Pick<ConnectionEvents, "established">;
  /** To be called when the client is ready, after its handshake if there is one. */
  handshakeDone(client: Stream): void;
  /** Begins a connection to the backend. */
  connect(connection: Connection): Stream;
  /** To be called at most once for each connection. */
  failed(connection: Connection, failure: ConnectionFailure): void;
  /** To be called when the last descriptor is closed. */
  over(connection: Connection): void;
}

/** Events of connections, for the worker. */
export interface ConnectionEvents {
  /** The handshake is done and the backend is connected. */
  established(connection: Connection): void;
  /** At most once for each connection. */
  failed(connection: Connection, failure: ConnectionFailure): void;
  over(connection: Connection): void;
}

/**
 * One client with its backend, from accept to close: handshake, connect, prefix, relay. The relay
 * keeps no bytes: a chunk goes to the other side at once, and when that side cannot take more, this
 * side is paused until it can.
 */
export class Connection implements HeaderReceiver, IdleHolder {
  readonly id: number;
  readonly client: Stream;
  /** Where it is counted, if it is. */
  source: Source | undefined;
  private readonly all: ConnectionContext;
  private readonly trust: ClientTrust | undefined;
  private backend: Stream | undefined;
  private phase: "handshake" | "connecting" | "relaying" = "handshake";
  /** The header that the client sent, where it is passed on and until then. */
  private header: Uint8Array | undefined;
  /** From the client's header; undefined: those of its stream count. */
  private addresses: ProxyAddresses | undefined;
  private uniqueId: string | undefined;
  private clientEnded = false;
  private backendEnded = false;
  private clientClosed = false;
  private backendClosed = false;
  private clientPaused = false;
  private backendPaused = false;
  /** The backend is gone and the client has its last byte: what it still sends is dropped. */
  private lingering = false;
  private hasFailed = false;
  private halfCloseExtensions = 0;
  isActive = true;
  idleRounds = 0;

  constructor(all: ConnectionContext, id: number, client: Stream, trust: ClientTrust | undefined) {
    this.all = all;
    this.id = id;
    this.client = client;
    this.trust = trust;
  }

  /** The client's address for logs. */
  get clientName(): string {
    return formatEndpoint(this.addresses?.client ?? this.client.remote);
  }

  /** What every entry of the log about it tells. */
  get facts(): LogEntry["facts"] {
    const { id, clientName, uniqueId } = this;
    return { connection: id, client: clientName, ...(uniqueId ? { uniqueId } : {}) };
  }

  /** The common name in the client's certificate that was verified; while the client is there. */
  get clientCommonName(): string | undefined {
    const peer = this.trust && this.client.tls().peer;
    return peer && peer.verifyError === undefined
      ? certificateFacts(peer.der).commonName
      : undefined;
  }

  /** Counts it among those of its source address; or why it may not be one of them. */
  enter(sources: Sources, client: Endpoint): ConnectionFailure | undefined {
    const source = sources.of(client);
    if (!source) return undefined;
    const refusal = sources.enter(source);
    if (!refusal) this.source = source;
    return refusal;
  }

  /** Ends it before anything is done for it; from within the accept of its stream. */
  turnAway(refusal: ConnectionFailure): void {
    this.fail(refusal);
    // A stream cannot be ended while it is being accepted.
    queueMicrotask(() => this.client.reset());
  }

  headerRead(
    header: Uint8Array,
    addresses: ProxyAddresses | undefined,
  ): ConnectionFailure | undefined {
    const { settings, clientSources } = this.all;
    if (settings.acceptProxy.mode === "pass") this.header = header;
    else this.addresses = addresses;
    if (!clientSources) return undefined;
    const { client } = addresses ?? addressesIn(header) ?? { client: this.client.remote };
    return this.enter(clientSources, client);
  }

  headerFailed(failure: ConnectionFailure): void {
    this.fail(failure);
    this.client.reset();
  }

  opened(stream: Stream): void {
    if (stream === this.client) this.clientOpened();
    else this.backendConnected();
  }

  received(from: Stream, bytes: Uint8Array): void {
    if (this.lingering) return;
    this.isActive = true;
    if (this.isHalfClosed) this.noteProgress();
    const { values } = this.all.counters;
    if (from === this.client) {
      values[BYTES_RECEIVED]! += bytes.length;
      if (!this.backend!.write(bytes)) this.pauseClient();
    } else {
      values[BYTES_SENT]! += bytes.length;
      if (this.client.write(bytes)) return;
      this.backendPaused = true;
      from.pause();
    }
  }

  writable(stream: Stream): void {
    this.isActive = true;
    if (this.isHalfClosed) this.noteProgress();
    if (stream === this.backend) this.resumeClient();
    else this.resumeBackend();
  }

  ended(stream: Stream): void {
    if (stream === this.client) this.clientEnded = true;
    else this.backendEnded = true;
    this.otherSide(stream)?.finish();
    // What was ended by a limit has to close in time, whoever ended first.
    if (this.isHalfClosed || this.lingering) this.noteProgress();
    else this.all.halfClosed.stop(this);
  }

  closed(stream: Stream, failure: Failure | undefined): void {
    // Asked first: a stream may close within the call that ends it for the other's sake.
    const isLast = stream === this.client ? this.backendClosed || !this.backend : this.clientClosed;
    try {
      if (stream === this.client) this.clientGone(failure);
      else this.backendGone(failure);
    } catch (error) {
      this.otherSide(stream)?.reset();
      throw error;
    } finally {
      if (isLast) {
        this.all.halfClosed.stop(this);
        this.all.over(this);
      }
    }
  }

  handshakeTimedOut(): void {
    this.fail({ source: "client", code: "handshake-timeout", cause: "no TLS handshake in time" });
    this.client.reset();
  }

  /** Others wait for the place of the handshake that has taken longest. */
  handshakeEvicted(): void {
    const cause = "more handshakes at once than --max-handshakes allows; it had taken longest";
    this.fail({ source: "client", code: "handshake-evicted", cause });
    this.client.reset();
  }

  connectTimedOut(): void {
    const cause = this.all.settings.backendTls
      ? "no TLS connection in time"
      : "no answer to the connect";
    this.fail({ source: "backend", code: "backend-timeout", cause });
    this.backend!.reset();
    this.endClient();
  }

  halfCloseTimedOut(): void {
    if (this.isHeldUp && ++this.halfCloseExtensions < SLOW_READER_PATIENCE) {
      this.all.halfClosed.start(this);
      return;
    }
    if (this.backendEnded || this.lingering) {
      // The client has everything, or the kernel has it and still delivers it.
      this.failHalfClosed("client");
      this.client.close();
      this.backend?.close();
    } else {
      this.failHalfClosed("backend");
      this.client.reset();
      this.backend!.reset();
    }
  }

  idleTimedOut(): void {
    this.expire("idle-timeout", "silent in both directions for as long as --idle-timeout allows");
  }

  lifetimeOver(): void {
    this.expire("lifetime", "as old as --max-lifetime allows");
  }

  /** A side is stopped until the other one has taken what it was sent. */
  get isHeldUp(): boolean {
    return this.clientPaused || this.backendPaused;
  }

  private clientOpened(): void {
    // Without TLS it is open before it can be turned away.
    if (this.hasFailed) return;
    this.all.handshakes.stop(this);
    this.all.handshakeDone(this.client);
    const cause = this.trust && rejectReason(this.trust, this.client.tls());
    if (cause === undefined) return this.connectBackend();
    this.fail({ source: "client", code: "client-certificate", cause });
    this.endClient();
  }

  private connectBackend(): void {
    this.phase = "connecting";
    this.backend = this.all.connect(this);
    this.all.connects.start(this);
    if (this.header) {
      this.backend.write(this.header);
      this.header = undefined;
    } else if (this.all.settings.prefix !== "none") {
      this.backend.write(this.prefix());
    }
  }

  private prefix(): Uint8Array {
    const { settings, tlvs } = this.all;
    if (tlvs.has("unique-id")) this.uniqueId = randomBytes(16).toString("hex");
    const { client, uniqueId } = this;
    const ends = this.addresses ?? { client: client.remote, frontend: client.local };
    return prefixBytes(settings.prefix, { ...ends, tls: client.tls(), uniqueId }, tlvs);
  }

  private backendConnected(): void {
    this.all.connects.stop(this);
    this.phase = "relaying";
    this.all.idleTimeouts?.start(this);
    this.all.events.established(this);
  }

  private clientGone(failure: Failure | undefined): void {
    this.clientClosed = true;
    if (this.phase === "handshake") {
      this.all.handshakes.stop(this);
      if (failure) this.fail(handshakeFailed(failure));
    } else if (failure && !this.backendEnded) {
      this.all.connects.stop(this);
      this.fail(clientLost(failure));
      this.backend?.reset();
    } else {
      // Both directions ended in order, or the client left with the backend's last byte in hand.
      this.backend?.close();
    }
  }

  private backendGone(failure: Failure | undefined): void {
    this.backendClosed = true;
    this.all.connects.stop(this);
    if (!failure || this.clientClosed || this.lingering) return;
    if (this.phase === "connecting") {
      const isHandshake = this.all.settings.backendTls && !isConnectFailure(failure);
      this.fail(isHandshake ? backendHandshakeFailed(failure) : backendUnreachable(failure));
      this.endClient();
    } else if (this.backendEnded) {
      // It said all it had to say and then stopped listening; its answer must still arrive.
      this.endClient();
    } else {
      this.fail(backendLost(failure));
      this.client.reset();
    }
  }

  /** Ends the client in order, though it may still be sending: RFC 9112 section 9.6 tells why. */
  private endClient(): void {
    this.lingering = true;
    this.client.finish();
    this.resumeClient();
    if (!this.clientEnded) this.all.halfClosed.start(this);
  }

  /** Ends both sides in order; one that does not close then is cut as a half-closed one is. */
  private expire(code: "idle-timeout" | "lifetime", cause: string): void {
    if (this.lingering) return;
    this.fail({ source: "limit", code, cause });
    if (this.phase === "handshake") return this.client.reset();
    this.endClient();
    if (this.phase === "connecting") return this.backend!.reset();
    this.backend!.finish();
    this.resumeBackend();
    this.all.halfClosed.start(this);
  }

  private pauseClient(): void {
    this.clientPaused = true;
    this.client.pause();
  }

  private resumeClient(): void {
    if (!this.clientPaused) return;
    this.clientPaused = false;
    this.client.resume();
  }

  private resumeBackend(): void {
    if (!this.backendPaused) return;
    this.backendPaused = false;
    this.backend!.resume();
  }

  private get isHalfClosed(): boolean {
    return this.clientEnded !== this.backendEnded;
  }

  private noteProgress(): void {
    this.halfCloseExtensions = 0;
    this.all.halfClosed.start(this);
  }

  private otherSide(stream: Stream): Stream | undefined {
    return stream === this.client ? this.backend : this.client;
  }

  private failHalfClosed(source: "client" | "backend"): void {
    const cause = source === "client" ? "the client never closed" : "the backend never answered";
    this.fail({ source, code: "half-close-timeout", cause });
  }

  private fail(failure: ConnectionFailure): void {
    if (this.hasFailed) return;
    this.hasFailed = true;
    this.all.failed(this, failure);
  }
}
