import { formatEndpoint } from "../options/address.ts";
import type { PrefixKind } from "../options/config.ts";
import type { Failure, IpEndpoint, Runtime, Stream, StreamOwner } from "../runtime/types.ts";
import { Deadlines } from "./deadlines.ts";
import {
  backendLost,
  backendUnreachable,
  clientLost,
  type ConnectionFailure,
  handshakeFailed,
} from "./failure.ts";
import { prefixBytes } from "./prefix.ts";

/** What all connections of a worker have in common. */
export class Connections {
  readonly runtime: Pick<Runtime, "connect">;
  readonly settings: ConnectionSettings;
  readonly events: ConnectionEvents;
  readonly handshakes: Deadlines<Connection>;
  readonly connects: Deadlines<Connection>;
  readonly halfClosed: Deadlines<Connection>;
  private lastId = 0;
  private openCount = 0;

  constructor(
    runtime: Pick<Runtime, "connect">,
    settings: ConnectionSettings,
    events: ConnectionEvents,
  ) {
    this.runtime = runtime;
    this.settings = settings;
    this.events = events;
    this.handshakes = new Deadlines(settings.handshakeTimeout, (c) => c.handshakeTimedOut());
    this.connects = new Deadlines(settings.backendConnectTimeout, (c) => c.connectTimedOut());
    this.halfClosed = new Deadlines(settings.halfCloseTimeout, (c) => c.halfCloseTimedOut());
  }

  /** Connections that still hold a descriptor. */
  get open(): number {
    return this.openCount;
  }

  /** A client's TCP connection was accepted: its life begins with the TLS handshake. */
  accept(client: Stream): Connection {
    this.openCount++;
    const connection = new Connection(this, ++this.lastId, client);
    this.handshakes.start(connection);
    return connection;
  }

  /** Called by a connection when its last descriptor is gone. */
  over(connection: Connection): void {
    this.openCount--;
    this.events.over(connection);
  }
}

export interface ConnectionSettings {
  readonly backend: IpEndpoint;
  /** Local addresses for the backend connections, used in turn; empty: the system chooses. */
  readonly backendSources: readonly IpEndpoint[];
  readonly prefix: PrefixKind;
  /** All in seconds. */
  readonly handshakeTimeout: number;
  readonly backendConnectTimeout: number;
  readonly halfCloseTimeout: number;
}

export interface ConnectionEvents {
  /** The handshake is done and the backend is connected. */
  established(connection: Connection): void;
  /** At most once for each connection. */
  failed(connection: Connection, failure: ConnectionFailure): void;
  over(connection: Connection): void;
}

/** While a slow reader still has bytes to take, silence may last this many half-close timeouts. */
const SLOW_READER_PATIENCE = 10;

/**
 * One client with its backend, from accept to close: handshake, connect, prefix, relay. The relay
 * keeps no bytes: a chunk goes to the other side at once, and when that side cannot take more, this
 * side is paused until it can.
 */
export class Connection implements StreamOwner {
  readonly id: number;
  readonly client: Stream;
  private readonly all: Connections;
  private backend: Stream | undefined;
  private phase: "handshake" | "connecting" | "relaying" = "handshake";
  private clientEnded = false;
  private backendEnded = false;
  private clientClosed = false;
  private backendClosed = false;
  private clientPaused = false;
  private backendPaused = false;
  /** The backend is gone and the client has its last byte: what it still sends is dropped. */
  private lingering = false;
  private hasFailed = false;
  private silences = 0;

  constructor(all: Connections, id: number, client: Stream) {
    this.all = all;
    this.id = id;
    this.client = client;
  }

  /** The client's address for logs. */
  get clientName(): string {
    return formatEndpoint(this.client.remote);
  }

  opened(stream: Stream): void {
    if (stream === this.client) this.connectBackend();
    else this.backendConnected();
  }

  received(from: Stream, bytes: Uint8Array): void {
    if (this.lingering) return;
    if (this.isHalfClosed) this.noteProgress();
    if (from === this.client) {
      if (!this.backend!.write(bytes)) this.pauseClient();
    } else if (!this.client.write(bytes)) {
      this.backendPaused = true;
      from.pause();
    }
  }

  writable(stream: Stream): void {
    if (this.isHalfClosed) this.noteProgress();
    if (stream === this.backend) {
      this.resumeClient();
    } else if (this.backendPaused) {
      this.backendPaused = false;
      this.backend!.resume();
    }
  }

  ended(stream: Stream): void {
    if (stream === this.client) this.clientEnded = true;
    else this.backendEnded = true;
    this.otherSide(stream)?.finish();
    if (this.isHalfClosed) this.noteProgress();
    else this.all.halfClosed.stop(this);
  }

  closed(stream: Stream, failure: Failure | undefined): void {
    if (stream === this.client) this.clientGone(failure);
    else this.backendGone(failure);
    if (this.clientClosed && (this.backendClosed || !this.backend)) {
      this.all.halfClosed.stop(this);
      this.all.over(this);
    }
  }

  handshakeTimedOut(): void {
    this.fail({ source: "client", code: "handshake-timeout", cause: "no TLS handshake in time" });
    this.client.reset();
  }

  connectTimedOut(): void {
    this.fail({ source: "backend", code: "backend-timeout", cause: "no answer to the connect" });
    this.backend!.reset();
    this.endClient();
  }

  halfCloseTimedOut(): void {
    const waitsForReader = this.clientPaused || this.backendPaused;
    if (waitsForReader && ++this.silences < SLOW_READER_PATIENCE) {
      this.all.halfClosed.start(this);
      return;
    }
    if (this.backendEnded || this.lingering) {
      // The client has everything, or the kernel has it and still delivers it.
      this.failHalfClosed("client");
      this.client.close();
      this.backend!.close();
    } else {
      this.failHalfClosed("backend");
      this.client.reset();
      this.backend!.reset();
    }
  }

  private connectBackend(): void {
    const { runtime, settings, handshakes, connects } = this.all;
    handshakes.stop(this);
    this.phase = "connecting";
    const { backend, backendSources: sources } = settings;
    const source = sources.length > 0 ? sources[this.id % sources.length] : undefined;
    this.backend = runtime.connect(backend, this, source);
    connects.start(this);
    if (settings.prefix !== "none") {
      const { remote, local } = this.client;
      this.backend.write(prefixBytes(settings.prefix, remote, local, this.client.tls()));
    }
  }

  private backendConnected(): void {
    this.all.connects.stop(this);
    this.phase = "relaying";
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
      this.backend!.reset();
    } else {
      // Both directions ended in order, or the client left with the backend's last byte in hand.
      this.backend!.close();
    }
  }

  private backendGone(failure: Failure | undefined): void {
    this.backendClosed = true;
    this.all.connects.stop(this);
    if (!failure || this.clientClosed || this.lingering) return;
    if (this.phase === "connecting") {
      this.fail(backendUnreachable(failure));
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

  private pauseClient(): void {
    this.clientPaused = true;
    this.client.pause();
  }

  private resumeClient(): void {
    if (!this.clientPaused) return;
    this.clientPaused = false;
    this.client.resume();
  }

  private get isHalfClosed(): boolean {
    return this.clientEnded !== this.backendEnded;
  }

  private noteProgress(): void {
    this.silences = 0;
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
    this.all.events.failed(this, failure);
  }
}
