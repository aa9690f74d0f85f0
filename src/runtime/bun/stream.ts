import { raise } from "../../base/raise.ts";
import { endInOrder } from "../end_after_alert.ts";
import { ignoringHandler } from "../ignoring_handler.ts";
import { tlsFacts } from "../openssl.ts";
import { MAX_EARLY_BYTES, type Stream, type StreamHandler } from "../stream.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import { type Failure, internalFailure, MAX_RECEIVED } from "../failure.ts";
import type { BackendSession } from "../backend_sessions.ts";
import type { TlsFacts } from "../tls.ts";
import type { ServerIdentity } from "./contexts.ts";
import { failureOf, sessionFailure } from "./failures.ts";
import { hasReceived, isAcknowledged, wasReset } from "../../os/tcp_info.ts";
import { finishOnClose } from "../../os/reset_on_close.ts";
import { endpointIn, libc, socketName } from "./libc.ts";
import { ignoreEvents } from "./poll.ts";
import type { NativeError, NativeSocket } from "./native.ts";

/** Starts TLS on a stream that began without it. */
export interface TlsStarter {
  startTls(stream: BunStream, early: Uint8Array): void;
}

/** The queue of all streams that hold no bytes, which are most of them. */
const NOTHING: Uint8Array[] = [];
Object.freeze(NOTHING);

export class BunStream implements Stream {
  handler: StreamHandler = ignoringHandler;
  native: NativeSocket | undefined;
  /** A `sockaddr`, kept because Bun forgets the peer when the socket closes. */
  readonly peer: Uint8Array;
  failure: Failure | undefined;
  /** Bytes that were written and are not yet with the kernel: one chunk, rarely more. */
  queue = NOTHING;
  earlyBytes = 0;
  isOpen = false;
  isTls: boolean;
  isBlocked = false;
  isFinishing = false;
  hasEnded = false;
  isClosedByCore = false;
  /** It connects to a backend; until our FIN its socket closes with RST. */
  readonly isBackend: boolean;
  /** Paused, and Bun does not learn of errors: it would close the socket with what is unread. */
  private ignoresEvents = false;
  /** What the client is served with; undefined without TLS and toward a backend. */
  identity: ServerIdentity | undefined;
  /** Set toward a backend with TLS, once the socket exists. */
  backendSession: BackendSession | undefined;
  /** During a handshake whose client is verified, with TLS 1.3. */
  trafficSecret: Uint8Array | undefined;
  /** Set on a listener with `headerFirst`. */
  tlsStarter: TlsStarter | undefined;
  /** A ClientHello with a server name has arrived. */
  isNamed = false;
  /** The first bytes after a header. */
  early: Uint8Array | undefined;
  /** `closed` must not come from within `accepted` or `startTls`. */
  defersClosed = false;

  constructor(
    native: NativeSocket | undefined,
    isTls: boolean,
    peer: Uint8Array,
    isBackend = false,
  ) {
    this.native = native;
    this.isBackend = isBackend;
    this.isTls = isTls;
    this.peer = peer;
  }

  get remote(): Endpoint {
    return endpointIn(this.peer);
  }

  get local(): Endpoint {
    return endpointIn(this.native && socketName(libc.getsockname, this.native.fd));
  }

  write(bytes: Uint8Array): boolean {
    if (this.isFinishing || !this.native) return true;
    if (this.isOpen && this.queue.length === 0) {
      const taken = this.native.write(bytes);
      if (taken === bytes.length || taken < 0) return true;
      bytes = bytes.subarray(taken);
    }
    if (this.queue === NOTHING) this.queue = [];
    this.queue.push(bytes);
    if (!this.isOpen && (this.earlyBytes += bytes.length) <= MAX_EARLY_BYTES) return true;
    this.isBlocked = true;
    if (this.ignoresEvents) this.watchForRoom();
    return false;
  }

  get isSending(): boolean {
    return this.native !== undefined && this.queue.length > 0;
  }

  isDelivered(): boolean {
    const { native } = this;
    return !native || (this.queue.length === 0 && isAcknowledged(libc, native.fd));
  }

  hasPeerSent(): boolean {
    return !this.native || hasReceived(libc, this.native.fd);
  }

  /** Bun reports the same for both ends. */
  get hasCloseNotify(): undefined {
    return undefined;
  }

  pause(): void {
    const { native } = this;
    if (!native) return;
    native.pause();
    if (this.isBackend && this.queue.length === 0) this.ignoresEvents = ignoreEvents(native.fd);
  }

  resume(): void {
    this.ignoresEvents = false;
    this.native?.resume();
  }

  finish(): void {
    if (this.isFinishing) return;
    this.isFinishing = true;
    if (this.isOpen && this.queue.length === 0) this.end();
  }

  close(): void {
    this.isClosedByCore = true;
    this.native?.close();
  }

  reset(): void {
    this.isClosedByCore = true;
    this.native?.terminate();
  }

  startTls(early: Uint8Array): void {
    if (this.native && !this.isTls) this.tlsStarter?.startTls(this, early);
  }

  tls(): TlsFacts {
    const { native, identity } = this;
    if (!native || !this.isTls) return {};
    const cipher = native.getCipher()?.name;
    const facts = tlsFacts(
      native.getServername(),
      native.getTLSVersion(),
      cipher,
      native.alpnProtocol,
    );
    const resumed = native.isSessionReused();
    if (!identity) return { ...facts, resumed };
    const der = identity.verify && native.getPeerCertificate(true)?.raw;
    const verifyError = der && native.getAuthorizationError()?.code;
    const { presented } = identity;
    return {
      ...facts,
      resumed,
      ...(der ? { peer: { der, ...(verifyError ? { verifyError } : {}) } } : {}),
      ...(presented ? { presented } : {}),
    };
  }

  get isResumed(): boolean | undefined {
    return this.isTls ? this.native?.isSessionReused() : undefined;
  }

  get tlsVersion(): string | undefined {
    return this.isTls ? this.native?.getTLSVersion() : undefined;
  }

  get alpn(): string | undefined {
    return this.isTls ? this.native?.alpnProtocol || undefined : undefined;
  }

  /** The stream is ready: `handler` may use it. */
  opened(): void {
    this.isOpen = true;
    this.early = undefined;
    this.notify("opened");
  }

  /** As `opened`, for a stream that may hold early bytes. */
  connected(): void {
    if (this.isOpen) return;
    const { isFinishing } = this;
    // The prefix and the client's first bytes leave in one segment.
    if (this.queue.length > 1) this.queue = [Buffer.concat(this.queue)];
    this.opened();
    if (this.native && (this.queue.length > 0 || isFinishing)) this.flush();
  }

  /** The kernel has room again. */
  flush(): void {
    while (this.queue.length > 0) {
      const bytes = this.queue[0]!;
      const taken = this.native!.write(bytes);
      if (taken < 0) break;
      if (taken < bytes.length) {
        this.queue[0] = bytes.subarray(taken);
        return;
      }
      this.queue.shift();
    }
    this.queue = NOTHING;
    if (this.isFinishing) this.end();
    if (this.isBlocked) {
      this.isBlocked = false;
      this.notify("writable");
    }
  }

  received(bytes: Uint8Array): void {
    try {
      this.handler.received(this, bytes);
    } catch (error) {
      this.coreThrew(error);
    }
  }

  /** After a header: a copy of what TLS reads. */
  receivedEncrypted(bytes: Uint8Array): void {
    if (!this.isOpen && !this.early) this.early = bytes.slice(0, MAX_RECEIVED);
  }

  /** The peer has sent FIN or close_notify. */
  ended(): void {
    // A write that meets the reset first takes its errno, which Bun hides; reading then ends in order.
    const { native } = this;
    if (native && this.queue.length > 0 && wasReset(libc, native.fd)) {
      this.failure ??= { code: "ECONNRESET", message: "connection reset by peer" };
      return native.terminate();
    }
    this.hasEnded = true;
    // Before the stream is open, `handshake` and `close` report it.
    if (this.isOpen) this.notify("ended");
  }

  /** The core threw. */
  coreThrew(error: unknown): void {
    this.failure = internalFailure(error);
    this.native?.terminate();
  }

  /**
   * The TLS session broke off: the peer violated the protocol or sent a fatal alert. BoringSSL has
   * sent its own alert, so the connection ends with FIN, which lets the alert arrive.
   */
  failed(error: NativeError): void {
    this.failure ??= sessionFailure(error);
    if (!this.native) return;
    if (this.isBackend) finishOnClose(libc, this.native.fd);
    endInOrder(libc, this.native.fd);
    this.native.close();
  }

  /** Everything is sent. After the peer's FIN, Bun itself would wait for one more event. */
  private end(): void {
    const { native } = this;
    if (!native) return;
    if (this.isBackend) finishOnClose(libc, native.fd);
    native.shutdown();
    if (this.hasEnded) native.close();
    else if (this.ignoresEvents) ignoreEvents(native.fd);
  }

  /** Bun watches the paused socket again, as it does after `pause`. */
  private watchForRoom(): void {
    this.ignoresEvents = false;
    this.native?.resume();
    this.native?.pause();
  }

  /** The descriptor is closed. */
  closed(error: NativeError | undefined): void {
    this.native = undefined;
    // After our own FIN, Bun reports the peer's only by `close`.
    const sentAll = this.isOpen && this.isFinishing && this.queue.length === 0;
    if (sentAll && !error && !this.failure && !this.hasEnded && !this.isClosedByCore) {
      this.ended();
    }
    this.queue = NOTHING;
    if (this.defersClosed) queueMicrotask(() => this.notifyClosed(error));
    else this.notifyClosed(error);
  }

  private notify(event: "opened" | "writable" | "ended"): void {
    try {
      this.handler[event](this);
    } catch (error) {
      this.coreThrew(error);
    }
  }

  private notifyClosed(error: NativeError | undefined): void {
    try {
      this.handler.closed(this, this.closeReason(error));
    } catch (fault) {
      raise(fault);
    }
  }

  private closeReason(error: NativeError | undefined): Failure | undefined {
    if (this.isClosedByCore) return undefined;
    if (this.failure) return this.failure;
    if (error) {
      const failure = failureOf(error);
      const isHandshake = this.isTls && !this.isOpen;
      if (failure.code !== "ECONNRESET" || !isHandshake) return failure;
      // Bun does not show whether anything came before the reset. Of clients that reset before they
      // have named a server, nearly all are health checks.
      return { ...failure, fault: this.identity && !this.isNamed ? "early-reset" : "reset" };
    }
    if (this.hasEnded && this.isFinishing) return undefined;
    return { code: "EPROTO", message: "the connection was aborted" };
  }
}

/** Bun's handlers for every open stream. */
export const streamHandlers = {
  data(native: NativeSocket, bytes: Uint8Array) {
    native.data.received(bytes);
  },
  drain(native: NativeSocket) {
    // Bun also reports room around the handshake and the end, when nothing is queued here.
    if (native.data.isOpen && native.data.queue.length > 0) native.data.flush();
  },
  end(native: NativeSocket) {
    native.data.ended();
  },
  close(native: NativeSocket, error: NativeError | undefined) {
    native.data.closed(error);
  },
  error(native: NativeSocket, error: NativeError) {
    // Bun also reports an exception of its handlers here.
    if (/^error:[0-9a-f]{8}:/.test(error.message)) native.data.failed(error);
    else native.data.coreThrew(error);
  },
};
