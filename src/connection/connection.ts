import { randomBytes } from "node:crypto";
import type { LogEntry } from "../base/log_entry.ts";
import { formatEndpoint } from "../options/address.ts";
import type { Stream } from "../runtime/stream.ts";
import { certificateFacts } from "./certificate_facts.ts";
import { type ClientTrust, rejection } from "./client_trust.ts";
import type { Failure } from "../runtime/failure.ts";
import type { Endpoint } from "../os/endpoint.ts";
import type { ConnectionContext } from "./context.ts";
import { BYTES_RECEIVED, BYTES_SENT } from "./counters.ts";
import {
  backendHandshakeFailed,
  backendLost,
  backendTruncated,
  backendUnreachable,
  clientLeft,
  clientLost,
  type ConnectionFailure,
  handshakeFailed,
  isConnectFailure,
} from "./failure.ts";
import type { HeaderReceiver } from "./proxy_protocol/header_phase.ts";
import { prefixBytes } from "./prefix.ts";
import { addressesIn, type ProxyAddresses } from "./proxy_protocol/read_header.ts";
import type { IdleHolder } from "./idle_timeouts.ts";
import type { Measured } from "./measured.ts";
import type { Observed } from "./observed.ts";
import type { Source, Sources } from "./sources.ts";
import type { DeliveryHolder } from "./undelivered.ts";

/** Half-close timeouts that may pass while a slow reader still has bytes to read. */
const SLOW_READER_FACTOR = 10;

/** Checks of the delivery after which a client that sends nothing is taken to have sent everything. */
const QUIET_CHECKS = 4;

/**
 * One client and its backend, from accept to close: handshake, connect, prefix, relay. The relay
 * buffers nothing: each chunk is written to the other side at once, and while that side cannot take
 * more, this side is paused.
 */
export class Connection implements HeaderReceiver, IdleHolder, DeliveryHolder {
  readonly id: number;
  readonly client: Stream;
  /** The frontend's index. */
  readonly frontend: number;
  /** Absent unless the histograms or the log need it. */
  readonly measured: Measured | undefined;
  /** Absent unless it is logged; `measured` is present then. */
  readonly observed: Observed | undefined;
  /** The source that counts it, if any. */
  source: Source | undefined;
  private readonly context: ConnectionContext<Connection>;
  private readonly trust: ClientTrust | undefined;
  private backend: Stream | undefined;
  private phase: "handshake" | "connecting" | "relaying" = "handshake";
  /** The client's PROXY header, until it is passed on to the backend. */
  private header: Uint8Array | undefined;
  /** From the client's PROXY header; undefined: its stream's addresses are used. */
  private addresses: ProxyAddresses | undefined;
  /** That of the PROXY header to the backend. */
  uniqueId: string | undefined;
  private hasHeader = false;
  private hasClientSent = false;
  private clientEnded = false;
  private backendEnded = false;
  private clientClosed = false;
  private backendClosed = false;
  private clientPaused = false;
  private backendPaused = false;
  /** The client's side is finished; what it still sends is dropped. */
  private lingering = false;
  /** The side that is reset once it has what the other one sent before it was lost. */
  private delivering: Stream | undefined;
  /** Each side that is still open is reset. */
  private isCut = false;
  private hasFailed = false;
  private halfCloseExtensions = 0;
  /** Checks of the delivery since which nothing was received. */
  private quietChecks = 0;
  isActive = true;
  idleRounds = 0;

  constructor(
    context: ConnectionContext<Connection>,
    id: number,
    client: Stream,
    frontend: number,
    trust: ClientTrust | undefined,
    measured?: Measured,
    observed?: Observed,
  ) {
    this.context = context;
    this.id = id;
    this.client = client;
    this.frontend = frontend;
    this.trust = trust;
    this.measured = measured;
    this.observed = observed;
  }

  /** The client's address; undefined if it had left before it was accepted. */
  get address(): string | undefined {
    if (this.addresses) return formatEndpoint(this.addresses.client);
    const { remote } = this.client;
    return isUnknown(remote) ? undefined : formatEndpoint(remote);
  }

  /** The client's address for logs. */
  get clientName(): string {
    return this.address ?? "a client that had already left";
  }

  /** The facts of every log entry about this connection. */
  get facts(): LogEntry["facts"] {
    const { id, clientName, uniqueId } = this;
    return { connection: id, client: clientName, ...(uniqueId ? { uniqueId } : {}) };
  }

  /** The common name of the client's verified certificate; only while its stream is open. */
  get clientCommonName(): string | undefined {
    const peer = this.trust && this.client.tls().peer;
    return peer && peer.verifyError === undefined
      ? certificateFacts(peer.der).commonName
      : undefined;
  }

  /** Counts it for its source address, or returns why that is refused. */
  admit(sources: Sources, client: Endpoint): ConnectionFailure | undefined {
    const source = sources.of(client);
    if (!source) return undefined;
    const refusal = sources.admit(source);
    if (!refusal) this.source = source;
    return refusal;
  }

  /** Resets the client before anything is done for it; called while its stream is being accepted. */
  refuse(refusal: ConnectionFailure): void {
    this.fail(refusal);
    // A stream cannot be reset while it is being accepted.
    queueMicrotask(() => this.client.reset());
  }

  headerRead(
    header: Uint8Array,
    addresses: ProxyAddresses | undefined,
  ): ConnectionFailure | undefined {
    const { settings, clientSources } = this.context;
    if (settings.acceptProxy.mode === "pass") this.header = header;
    else this.addresses = addresses;
    this.hasHeader = true;
    if (!clientSources) return undefined;
    const { client } = addresses ?? addressesIn(header) ?? { client: this.client.remote };
    return this.admit(clientSources, client);
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
    this.isActive = true;
    if (this.lingering) return;
    if (this.isHalfClosed) this.restartHalfClose();
    const { values } = this.context.counters;
    const { measured } = this;
    if (from === this.client) {
      this.hasClientSent = true;
      values[BYTES_RECEIVED]! += bytes.length;
      if (measured) measured.received += bytes.length;
      if (!this.backend!.write(bytes)) this.pauseClient();
    } else {
      values[BYTES_SENT]! += bytes.length;
      if (measured) measured.sent += bytes.length;
      if (this.client.write(bytes)) return;
      this.backendPaused = true;
      from.pause();
    }
  }

  writable(stream: Stream): void {
    this.isActive = true;
    if (this.isHalfClosed || this.delivering) this.restartHalfClose();
    if (stream === this.backend) this.resumeClient();
    else this.resumeBackend();
  }

  ended(stream: Stream): void {
    if (stream === this.delivering) return;
    if (stream !== this.client && this.isTruncated(stream)) return this.truncated(stream);
    const isClient = stream === this.client;
    if (isClient) this.clientEnded = true;
    else this.backendEnded = true;
    if (this.observed) this.observed.endedBy ??= isClient ? "client" : "backend";
    this.otherSide(stream)?.finish();
    // After a limit both sides have to close in time, whichever ends first.
    if (this.isHalfClosed || this.lingering || this.isSending) this.restartHalfClose();
    else this.context.halfClosed.stop(this);
  }

  closed(stream: Stream, failure: Failure | undefined): void {
    // Read first: resetting the other side below may close it within the call.
    const isLast = stream === this.client ? this.backendClosed || !this.backend : this.clientClosed;
    try {
      if (stream === this.client) this.onClientClosed(failure);
      else this.onBackendClosed(failure);
    } catch (error) {
      this.otherSide(stream)?.reset();
      throw error;
    } finally {
      if (isLast) {
        this.context.halfClosed.stop(this);
        this.context.undelivered.stop(this);
        this.context.closed(this);
      }
    }
  }

  handshakeTimedOut(): void {
    const cause = this.client.hasPeerSent()
      ? "no TLS handshake in time"
      : "the client sent nothing in time; one that waits for the server's greeting (SMTP, FTP, " +
        "MySQL) must begin TLS at once";
    this.fail({ source: "client", code: "handshake-timeout", cause });
    this.client.reset();
  }

  /** Too many handshakes are in progress: this client has sent nothing, or has taken longest. */
  handshakeEvicted(): void {
    const reason = this.client.hasPeerSent(true)
      ? "this handshake had taken longest"
      : "this client had sent nothing";
    const cause = `--max-handshakes was exceeded, and ${reason}`;
    this.fail({ source: "client", code: "handshake-evicted", cause });
    this.client.reset();
  }

  connectTimedOut(): void {
    const cause = this.context.settings.backendTls
      ? "no TLS connection in time"
      : "connection timed out";
    this.fail({ source: "backend", code: "backend-timeout", cause });
    this.backend!.reset();
    this.finishClient();
  }

  halfCloseTimedOut(): void {
    const { client, backend } = this;
    if ((this.isBlocked || this.isSending) && ++this.halfCloseExtensions < SLOW_READER_FACTOR) {
      this.context.halfClosed.start(this);
      return;
    }
    if (this.delivering) return this.cut();
    if (!this.backendEnded && !this.lingering) {
      this.failHalfClosed(this.clientReads ? "backend" : "client");
      return this.cut();
    }
    this.failHalfClosed(this.clientEnded && backend?.isSending ? "backend" : "client");
    if (this.isBlocked || this.isSending) return this.cut();
    // The client has everything, or the kernel still delivers it.
    client.close();
    if (this.clientEnded || this.lingering) backend?.close();
    else backend?.reset();
  }

  idleTimedOut(): void {
    this.expire("idle-timeout", "idle in both directions for --idle-timeout");
  }

  /** Its lifetime expires soon: from here on activity decides how it ends. */
  lifetimeEnding(): void {
    this.context.idleTimeouts?.stop(this);
    this.isActive = false;
    this.context.lifetimeEnds.start(this);
  }

  lifetimeExpired(): void {
    this.expire("lifetime", "--max-lifetime has elapsed");
  }

  /** Called while it waits for a slow peer. */
  checkDelivery(): void {
    const { delivering, isActive } = this;
    this.isActive = false;
    this.quietChecks = isActive ? 0 : this.quietChecks + 1;
    if (!delivering || delivering.isSending || !delivering.isDelivered()) return;
    if (delivering === this.client && !this.clientEnded && this.quietChecks < QUIET_CHECKS) return;
    this.context.undelivered.stop(this);
    delivering.reset();
  }

  /** One side is paused until the other one has read what it was sent. */
  get isBlocked(): boolean {
    return this.clientPaused || this.backendPaused;
  }

  private clientOpened(): void {
    // Without TLS it is open before it can be refused.
    if (this.hasFailed) return;
    this.context.handshakes.stop(this);
    this.observed?.opened(this.client);
    const rejected = this.trust && rejection(this.trust, this.client.tls());
    if (rejected) {
      this.fail(rejected);
      return this.finishClient();
    }
    this.context.handshakeDone(this);
    this.connectBackend();
  }

  private connectBackend(): void {
    this.phase = "connecting";
    this.backend = this.context.connect(this);
    this.context.connects.start(this);
    if (this.header) {
      this.backend.write(this.header);
      this.header = undefined;
    } else if (this.context.settings.prefix !== "none") {
      this.backend.write(this.prefix());
    }
  }

  private prefix(): Uint8Array {
    const { settings, tlvs } = this.context;
    if (tlvs.has("unique-id")) this.uniqueId = randomBytes(16).toString("hex");
    const { client, uniqueId } = this;
    const ends = this.addresses ?? { client: client.remote, frontend: client.local };
    return prefixBytes(settings.prefix, { ...ends, tls: client.tls(), uniqueId }, tlvs);
  }

  private backendConnected(): void {
    this.context.connects.stop(this);
    this.context.connected(this);
    if (this.context.settings.backendTls) this.observed?.opened(this.backend!);
    this.phase = "relaying";
    this.context.idleTimeouts?.start(this);
    this.context.events.established(this);
  }

  private onClientClosed(failure: Failure | undefined): void {
    this.clientClosed = true;
    if (this.phase === "handshake") {
      this.context.handshakes.stop(this);
      if (failure) this.fail(handshakeFailed(this.isProxyCheck ? asCheck(failure) : failure));
    } else if (failure && !this.backendEnded) {
      this.context.connects.stop(this);
      // Without TLS this is what a health check looks like.
      const hasLeft = this.context.settings.backendTls && !this.hasClientSent;
      this.fail(hasLeft ? handshakeFailed({ ...failure, fault: "left" }) : clientLost(failure));
      if (this.phase === "relaying") this.resetDelivered(this.backend!);
      else this.backend?.reset();
    } else if (this.isCut || (failure && !this.clientEnded)) {
      // The backend must not mistake what it has for all that the client wanted to send.
      this.backend?.reset();
    } else if (this.backend?.isSending) {
      // Both directions ended in order, and the backend has not yet taken everything.
      this.restartHalfClose();
    } else {
      this.backend?.close();
    }
  }

  private onBackendClosed(failure: Failure | undefined): void {
    this.backendClosed = true;
    this.context.connects.stop(this);
    if (this.isCut && !this.delivering) return this.client.reset();
    if (!failure || this.clientClosed || this.lingering) return;
    if (this.phase === "connecting") {
      const isHandshake = this.context.settings.backendTls && !isConnectFailure(failure);
      this.fail(isHandshake ? backendHandshakeFailed(failure) : backendUnreachable(failure));
      this.finishClient();
    } else if (this.backendEnded) {
      // It sent its whole answer and then stopped reading; the answer must still arrive.
      this.finishClient();
    } else {
      this.fail(backendLost(failure));
      this.resetDelivered(this.client);
    }
  }

  /** The backend ended without close_notify, so anybody on the way may have ended its answer. */
  private isTruncated(backend: Stream): boolean {
    return this.context.settings.backendTls !== undefined && backend.hasCloseNotify === false;
  }

  private truncated(backend: Stream): void {
    this.fail(backendTruncated);
    this.resetDelivered(this.client);
    backend.reset();
  }

  /** Resets both sides: neither may mistake what it has for everything. */
  private cut(): void {
    this.isCut = true;
    this.delivering = undefined;
    this.client.reset();
    this.backend?.reset();
  }

  /**
   * Resets a stream once its peer has what was written to it: a reset discards what is still in
   * transit. What the peer sends until then is dropped; while a client sends, it does not read, and a
   * reset would end its upload before it sees the answer.
   */
  private resetDelivered(stream: Stream): void {
    this.isCut = true;
    const maySend = stream === this.client && !this.clientEnded;
    if (!maySend && !stream.isSending && stream.isDelivered()) return stream.reset();
    this.lingering = true;
    this.isActive = false;
    this.delivering = stream;
    if (stream === this.client) this.resumeClient();
    else this.resumeBackend();
    this.context.undelivered.start(this);
    this.restartHalfClose();
  }

  /** Finishes the client in order though it may still be sending, as in RFC 9112 section 9.6. */
  private finishClient(): void {
    this.lingering = true;
    this.client.finish();
    this.resumeClient();
    if (!this.clientEnded) this.context.halfClosed.start(this);
  }

  /**
   * Ends an idle connection in order on both sides; one that does not close is cut after the
   * half-close timeout. Cuts a connection that was not idle: it must not look complete.
   */
  private expire(code: "idle-timeout" | "lifetime", cause: string): void {
    if (this.lingering) return;
    if (this.phase === "handshake") {
      this.fail({ source: "limit", code, cause });
      return this.client.reset();
    }
    const unfinished = this.unfinished(code === "lifetime" && this.isActive);
    if (unfinished) {
      this.fail({ source: "limit", code, cause: `${cause}; cut, since ${unfinished}` });
      return this.cut();
    }
    this.fail({ source: "limit", code, cause });
    this.finishClient();
    this.backend!.finish();
    this.resumeBackend();
    this.context.halfClosed.start(this);
  }

  /** Returns why the connection cannot end in order; undefined: both sides are idle. */
  private unfinished(isMoving: boolean): string | undefined {
    if (this.phase === "connecting") return "the backend was still being connected";
    if (!this.clientReads) return "the client had not read everything";
    if (!this.backendReads) return "the backend had not read everything";
    if (isMoving) return "it was in use";
    return this.isHalfClosed ? "only one side had ended" : undefined;
  }

  /** The client's system has acknowledged everything. */
  private get clientReads(): boolean {
    const { client } = this;
    return !this.backendPaused && !client.isSending && client.isDelivered();
  }

  private get backendReads(): boolean {
    const backend = this.backend!;
    return !this.clientPaused && !backend.isSending && backend.isDelivered();
  }

  /** Bytes wait in stud for one of the sides. */
  private get isSending(): boolean {
    return (!this.clientClosed && this.client.isSending) ||
      (!this.backendClosed && this.backend !== undefined && this.backend.isSending);
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

  private restartHalfClose(): void {
    this.halfCloseExtensions = 0;
    this.context.halfClosed.start(this);
  }

  private otherSide(stream: Stream): Stream | undefined {
    return stream === this.client ? this.backend : this.client;
  }

  private failHalfClosed(source: "client" | "backend"): void {
    const cause = source === "client"
      ? this.clientReads ? "the client never closed" : "the client does not read what it is sent"
      : this.backend!.isSending
      ? "the backend does not read what it is sent"
      : "the backend never answered";
    this.fail({ source, code: "half-close-timeout", cause });
  }

  /** The PROXY header says LOCAL or UNKNOWN: the proxy itself, which checks whether stud accepts. */
  private get isProxyCheck(): boolean {
    return this.header ? !addressesIn(this.header) : this.hasHeader && !this.addresses;
  }

  private fail(failure: ConnectionFailure): void {
    if (this.hasFailed) return;
    this.hasFailed = true;
    const hasLeft = failure.source === "client" && isUnknown(this.client.remote);
    const found = hasLeft ? clientLeft("the client left before it was accepted") : failure;
    this.observed?.failed(found, this.client, this.phase === "handshake");
    this.context.failed(this, found);
  }
}

/** The address that an adapter reports for a client that had left before it was accepted. */
function isUnknown(client: Endpoint): boolean {
  return client.family !== "unix" && client.port === 0;
}

/** A proxy that checks whether stud accepts sends its header, and nothing else. */
function asCheck(failure: Failure): Failure {
  return /^(closed|reset)$/.test(failure.fault ?? "") ? { ...failure, fault: "left" } : failure;
}
