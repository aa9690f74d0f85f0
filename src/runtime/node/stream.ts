import { raise } from "../../base/raise.ts";
import { finishOnClose, resetOnClose } from "../../os/reset_on_close.ts";
import { hasReceived, isAcknowledged, wasReset } from "../../os/tcp_info.ts";
import { endInOrder, endReadably } from "../end_after_alert.ts";
import { ignoringHandler } from "../ignoring_handler.ts";
import { DECODE_ERROR, UNRECOGNIZED_NAME } from "../openssl.ts";
import { MAX_EARLY_BYTES, type Stream, type StreamHandler } from "../stream.ts";
import type { Endpoint, UnixEndpoint } from "../../os/endpoint.ts";
import { type Failure, internalFailure, MAX_RECEIVED, TRUNCATED } from "../failure.ts";
import type { BackendSession } from "../backend_sessions.ts";
import type { TlsFacts } from "../tls.ts";
import type { ClientTls } from "./client_tls.ts";
import {
  chunk,
  immediateStatus,
  onClosed,
  onHandshakeDone,
  onRead,
  onShutdown,
  onTlsError,
  onWritten,
} from "./callbacks.ts";
import { errnoFailure } from "./failure.ts";
import {
  type HandleAddress,
  type HandleEvents,
  handles,
  type SocketHandle,
  type TcpHandle,
  type TlsHandle,
  type WriteRequest,
} from "./handles.ts";
import { type ClientHello, HelloReader, type NoHello, readHello } from "../client_hello.ts";
import { HANDSHAKE_RECORD } from "../tls_fault.ts";
import { libc } from "./libc.ts";
import { groupName, lastSsl, sessionEnd, type Ssl, watchSsls } from "./native_ssl.ts";
import { MALFORMED, type ServerIdentity, type ServerTls } from "./server_tls.ts";

/** What a socket is for; without TLS it is plain. */
export interface StreamMode {
  /** For an accepted socket. */
  readonly server?: ServerTls | undefined;
  /** TLS waits until {@link NodeStream.startTls} is called. */
  readonly headerFirst?: boolean;
  /** For a socket that connects. */
  readonly client?: ClientTls | undefined;
  /** It connects over TCP: until our FIN the socket closes with RST. */
  readonly isToBackend?: boolean;
}

export class NodeStream implements Stream, HandleEvents {
  handler: StreamHandler = ignoringHandler;
  readonly remote: Endpoint;
  private readonly socket: SocketHandle;
  /** Our own address of a Unix socket. */
  private readonly unixLocal: UnixEndpoint | undefined;
  private readonly serverTls: ServerTls | undefined;
  private readonly clientTls: ClientTls | undefined;
  private readonly isToBackend: boolean;
  /** TLS waits for the handler, which reads a header first. */
  private isBeforeTls: boolean;
  private readonly readsHeader: boolean;
  /** Set at the first bytes of the handshake. */
  private tlsHandle: TlsHandle | undefined;
  /** The handle that bytes are read from and written to. */
  private handle: SocketHandle | TlsHandle;
  /** The first bytes of a client that does not begin with a handshake. */
  private foreign: Uint8Array | undefined;
  /** Set while the ClientHello arrives in pieces. */
  private hello: HelloReader | undefined;
  /** As the client sent it; "" without SNI. */
  private serverName = "";
  private identity: ServerIdentity | undefined;
  /** Set with `clientTls` once the socket is connected. */
  private backendSession: BackendSession | undefined;
  private failure: Failure | undefined;
  /** Copies of bytes that wait for the connect, or for the write before them. */
  private queue: Uint8Array[] = NOTHING;
  private queuedBytes = 0;
  isOpen = false;
  private isPaused = false;
  private isWriting = false;
  private isBlocked = false;
  private isFinishing = false;
  private isShuttingDown = false;
  private hasFinished = false;
  private hasEnded = false;
  isClosing = false;
  /** Nothing can be sent any more; what the peer has sent before is still read. */
  private sendFailure: Failure | undefined;
  hasCloseNotify: boolean | undefined;
  /** Below `tlsHandle`. */
  private ssl: Ssl = 0n;

  constructor(
    socket: SocketHandle,
    remote: Endpoint,
    unixLocal: UnixEndpoint | undefined,
    { server, client, headerFirst, isToBackend }: StreamMode,
  ) {
    this.socket = socket;
    this.handle = socket;
    this.remote = remote;
    this.unixLocal = unixLocal;
    this.serverTls = server;
    this.clientTls = client;
    this.isToBackend = isToBackend ?? false;
    this.readsHeader = this.isBeforeTls = headerFirst ?? false;
    this.readFrom(socket);
  }

  get local(): Endpoint {
    if (this.unixLocal) return this.unixLocal;
    const found: HandleAddress = {};
    (this.socket as TcpHandle).getsockname(found);
    return ipEndpoint(found);
  }

  write(bytes: Uint8Array): boolean {
    if (this.isFinishing || this.isClosing || this.sendFailure) return true;
    if (this.isReady) return this.tlsHandle ? this.encrypt(bytes) : this.send(bytes);
    if (this.queuedBytes === 0) this.queue = [];
    this.queue.push(new Uint8Array(bytes));
    this.queuedBytes += bytes.length;
    if (!this.isOpen && this.queuedBytes <= MAX_EARLY_BYTES) return true;
    this.isBlocked = true;
    return false;
  }

  get isSending(): boolean {
    return !this.isClosing && (this.isWriting || this.queuedBytes > 0);
  }

  isDelivered(): boolean {
    return this.isClosing || (!this.isSending && isAcknowledged(libc, this.socket.fd));
  }

  hasPeerSent(): boolean {
    return this.isClosing || hasReceived(libc, this.socket.fd);
  }

  pause(): void {
    this.isPaused = true;
    if (this.isReadable) this.handle.readStop();
  }

  resume(): void {
    this.isPaused = false;
    if (this.isReadable) this.handle.readStart();
  }

  finish(): void {
    if (this.isFinishing || this.isClosing) return;
    this.isFinishing = true;
    if (this.isReady) this.shutdown();
  }

  close(): void {
    if (this.isClosing) return;
    this.isClosing = true;
    this.socket.close(onClosed);
  }

  reset(): void {
    if (this.isClosing) return;
    // The handle's own `reset` fails while a shutdown is pending.
    const { fd } = this.socket;
    if (fd >= 0) resetOnClose(libc, fd);
    this.close();
  }

  tls(): TlsFacts {
    const { tlsHandle, identity, serverTls, clientTls, serverName } = this;
    if (!tlsHandle || this.isClosing) return serverName === "" ? {} : { serverName };
    return clientTls
      ? clientTls.facts(tlsHandle)
      : serverTls!.facts(tlsHandle, identity!, serverName);
  }

  get group(): string | undefined {
    if (this.isClosing || !this.tlsHandle) return undefined;
    // OpenSSL would name the group of the handshake that is resumed.
    const hasNone = this.isResumed && this.tlsVersion !== "TLSv1.3";
    return hasNone ? undefined : groupName(this.ssl);
  }

  get isResumed(): boolean | undefined {
    return this.isClosing ? undefined : this.tlsHandle?.isSessionReused();
  }

  get tlsVersion(): string | undefined {
    return this.isClosing ? undefined : this.tlsHandle?.getProtocol() ?? undefined;
  }

  get alpn(): string | undefined {
    return this.isClosing ? undefined : this.tlsHandle?.getALPNNegotiatedProtocol() || undefined;
  }

  startTls(early: Uint8Array): void {
    if (!this.isBeforeTls || this.isClosing) return;
    this.isBeforeTls = false;
    if (this.isPaused) this.socket.readStart();
    if (early.length > 0) this.received(early);
  }

  /** The connect has succeeded. */
  connected(): void {
    if (!this.clientTls) return this.opened();
    watchSsls();
    this.backendSession = this.clientTls.sessions.connect(this.remote);
    const handle = this.clientTls.wrap(this.socket, this.backendSession.bytes);
    this.useTls(handle);
    handle.readStart();
    handle.start();
  }

  handshakeDone(): void {
    const { serverTls, clientTls, tlsHandle } = this;
    if (this.isOpen || this.isClosing) return;
    let found: Failure | number | undefined;
    try {
      found = clientTls
        ? clientTls.checkBackend(tlsHandle!, this.remote)
        : serverTls!.check(tlsHandle!, this.serverName);
    } catch (error) {
      return this.coreThrew(error);
    }
    if (typeof found === "object") return this.fail(found);
    if (found !== undefined) this.backendSession!.accepted(tlsHandle!.isSessionReused(), found);
    this.opened();
  }

  /** The connect is complete, and the handshake if there is one. */
  opened(): void {
    this.isOpen = true;
    this.notify("opened");
    if (!this.isClosing) {
      if (this.isPaused) this.handle.readStop();
      else if (!this.tlsHandle) this.socket.readStart();
    }
    this.writeQueue();
  }

  received(bytes: Uint8Array): void {
    if (this.serverTls && !this.tlsHandle && !this.isBeforeTls) return this.startHandshake(bytes);
    try {
      this.handler.received(this, bytes);
    } catch (error) {
      this.coreThrew(error);
    }
  }

  /** The peer has sent FIN or close_notify. */
  ended(): void {
    if (!this.isOpen) {
      const message = "the connection was closed";
      return this.fail({ code: "ECONNRESET", message, fault: this.isSilent ? "left" : "closed" });
    }
    if (this.sendFailure) return this.fail(this.sendFailure);
    if (this.tlsHandle) {
      const end = sessionEnd(this.ssl);
      if (end === "FIN within a record") {
        return this.fail({ code: TRUNCATED, message: "the connection ended within a TLS record" });
      }
      this.hasCloseNotify = end === "close_notify";
      // OpenSSL writes tickets by itself: a write of its own that meets the reset takes the error.
      if (!this.hasCloseNotify && !this.isFinishing && wasReset(libc, this.socket.fd)) {
        return this.fail({ code: "ECONNRESET", message: "connection reset by peer" });
      }
    }
    this.hasEnded = true;
    this.notify("ended");
    if (this.hasFinished) this.close();
  }

  /** Our FIN is sent. */
  finished(): void {
    this.hasFinished = true;
    if (this.hasEnded) this.close();
  }

  written(status: number): void {
    this.isWriting = false;
    if (status < 0) this.sendFailed(errnoFailure(status));
    else this.writeQueue();
  }

  /** The descriptor is closed. */
  closed(): void {
    this.tlsHandle?.destroySSL();
    try {
      this.handler.closed(this, this.failure);
    } catch (error) {
      raise(error);
    }
  }

  fail(failure: Failure): void {
    if (this.isClosing) return;
    this.failure = this.isOpen ? failure : this.duringHandshake(failure);
    if (failure.certificate !== undefined) endReadably(libc, this.socket.fd);
    // A rejected backend must not wait for more bytes.
    if (this.clientTls && !this.isOpen) {
      this.backendSession?.failed();
      return this.reset();
    }
    // OpenSSL has sent its alert.
    if (failure.fault && this.socket.fd >= 0) endInOrder(libc, this.socket.fd);
    this.close();
  }

  private duringHandshake(failure: Failure): Failure {
    const { foreign, serverTls, tlsHandle } = this;
    if (failure.fault === "not-tls" && foreign) return { ...failure, received: foreign };
    const isHandshake = serverTls !== undefined || tlsHandle !== undefined;
    if (failure.fault || failure.code !== "ECONNRESET" || !isHandshake) return failure;
    return { ...failure, fault: this.isSilent ? "early-reset" : "reset" };
  }

  /** The client has sent nothing. */
  private get isSilent(): boolean {
    const { serverTls, tlsHandle, hello, readsHeader } = this;
    return serverTls !== undefined && !tlsHandle && !hello && !readsHeader;
  }

  /** The core threw. */
  coreThrew(error: unknown): void {
    const failure = internalFailure(error);
    if (this.isClosing) return;
    this.failure = failure;
    this.reset();
  }

  staple(): Uint8Array | undefined {
    return this.identity!.staple!();
  }

  /** The handshake has made a session that its client may resume. */
  storeSession(id: Uint8Array, session: Uint8Array): void {
    this.serverTls!.settings.sessions!.store(this.identity!.policy, id, session);
  }

  /** The backend has issued a session. */
  keepSession(session: Uint8Array): void {
    this.backendSession!.issued(session, this.tlsHandle!.getProtocol() === "TLSv1.3");
  }

  /** Starts TLS once the ClientHello is complete, since the identity and the session depend on it. */
  private startHandshake(bytes: Uint8Array): void {
    const hello = this.readHello(bytes);
    if (hello === "incomplete") return;
    const first = this.hello?.bytes ?? bytes;
    if (first[0] !== HANDSHAKE_RECORD) this.foreign = first.slice(0, MAX_RECEIVED);
    this.hello = undefined;
    try {
      this.answerHello(hello, first);
    } catch (error) {
      this.coreThrew(error);
    }
  }

  private readHello(bytes: Uint8Array): ClientHello | NoHello {
    if (this.hello) return this.hello.add(bytes);
    const found = readHello(bytes);
    if (found !== "incomplete") return found;
    this.hello = new HelloReader();
    return this.hello.add(bytes);
  }

  private answerHello(
    hello: ClientHello | Exclude<NoHello, "incomplete">,
    first: Uint8Array,
  ): void {
    const tls = this.serverTls!;
    if (hello === "malformed") return this.refuse(DECODE_ERROR, MALFORMED);
    // OpenSSL says what is wrong with anything else.
    const known = hello === "other" ? undefined : hello;
    this.serverName = known?.serverName ?? "";
    this.identity = tls.identity(known?.serverName);
    if (!this.identity) return this.refuse(UNRECOGNIZED_NAME, UNKNOWN_NAME);
    const id = known && tls.requestedSession(known);
    if (!id) this.beginTls(known, first);
    else if (id.length === 0) this.beginTls(known, first, "none");
    else this.findSession(known, first);
  }

  /** Stops reading until the session store has answered. */
  private findSession(hello: ClientHello, first: Uint8Array): void {
    const kept = new Uint8Array(first);
    const id = new Uint8Array(hello.sessionId);
    const { socket, serverTls, identity } = this;
    socket.readStop();
    serverTls!.settings.sessions!.find(identity!.policy, id, (session) => {
      if (this.isClosing) return;
      try {
        this.beginTls(hello, kept, session ?? "none");
      } catch (error) {
        return this.coreThrew(error);
      }
      if (!this.isClosing) this.handle.readStart();
    });
  }

  /**
   * Puts TLS on the socket at its first bytes, which are passed in chunks: TLSWrap's input buffer then
   * keeps its initial size of 1 KiB until it is full for the first time. It would be 64 KiB if TLSWrap
   * read from the socket from the beginning.
   */
  private beginTls(
    hello: ClientHello | undefined,
    bytes: Uint8Array,
    session?: Uint8Array | "none",
  ): void {
    const identity = this.identity!;
    watchSsls();
    const handle = this.serverTls!.wrap(this.socket, identity, hello, session);
    this.useTls(handle);
    for (let i = 0; i < bytes.length && !this.isClosing; i += HELLO_CHUNK) {
      handle.receive(bytes.subarray(i, i + HELLO_CHUNK));
    }
    // A ticket that is read later is in a second ClientHello, which only TLS 1.3 has.
    identity.renewsTickets = !identity.verify;
  }

  private refuse(alert: Uint8Array, failure: Failure): void {
    this.writeStarted(this.socket.writeBuffer(null, alert), alert);
    this.fail(failure);
  }

  /** `handle` was made just now. */
  private useTls(handle: TlsHandle): void {
    this.ssl = lastSsl();
    this.tlsHandle = handle;
    this.handle = handle;
    this.readFrom(handle);
    handle.onhandshakedone = onHandshakeDone;
    handle.onerror = onTlsError;
  }

  private readFrom(handle: SocketHandle | TlsHandle): void {
    handle.stream = this;
    handle.onread = onRead;
    handle.useUserBuffer(chunk);
  }

  private notify(event: "opened" | "writable" | "ended"): void {
    try {
      this.handler[event](this);
    } catch (error) {
      this.coreThrew(error);
    }
  }

  private get isReadable(): boolean {
    return (this.isOpen || this.isBeforeTls) && !this.hasEnded && !this.isClosing;
  }

  private get isReady(): boolean {
    return this.isOpen && !this.isWriting && this.queuedBytes === 0;
  }

  private encrypt(bytes: Uint8Array): boolean {
    this.writeStarted(this.tlsHandle!.writeBuffer(null, bytes), undefined);
    // TLS completes every write later. Only a source that probably has more bytes, since its chunk
    // was full, is paused for that time.
    if (!this.isWriting || bytes.length < chunk.length) return true;
    this.isBlocked = true;
    return false;
  }

  private send(bytes: Uint8Array): boolean {
    const isSmall = bytes.length <= scratch.length;
    const kept = isSmall ? scratch.subarray(0, bytes.length) : new Uint8Array(bytes);
    if (isSmall) kept.set(bytes);
    this.writeStarted(this.socket.writeBuffer(null, kept), kept);
    if (!this.isWriting) return true;
    if (isSmall) scratch = new Uint8Array(SCRATCH);
    this.isBlocked = true;
    return false;
  }

  /** Handles the result of a write; `kept` must not be collected while it is pending. */
  private writeStarted(result: number | WriteRequest, kept: unknown): void {
    const status = typeof result === "number" ? result : immediateStatus(result);
    if (status === null) {
      const request = result as WriteRequest;
      this.isWriting = true;
      request.handle = this.handle;
      request.buffer = kept;
      request.oncomplete = onWritten;
    } else if (status !== 0) {
      this.sendFailed(errnoFailure(status));
    }
  }

  /** Continues when all earlier writes are with the kernel: the queue, the half-close, `writable`. */
  private writeQueue(): void {
    if (this.isWriting || this.isClosing || this.sendFailure) return;
    if (this.queuedBytes > 0) {
      const chunks = this.queue;
      this.queue = NOTHING;
      this.queuedBytes = 0;
      this.writeStarted(this.handle.writev(null, chunks, true), chunks);
      if (this.isWriting || this.isClosing) return;
    }
    if (this.isFinishing) this.shutdown();
    if (!this.isBlocked || this.isClosing) return;
    this.isBlocked = false;
    this.notify("writable");
  }

  /**
   * The peer is gone, but the kernel may hold what it sent before: reading ends with that, and an
   * end that follows is no longer an orderly one.
   */
  private sendFailed(failure: Failure): void {
    if (this.isClosing || this.sendFailure) return;
    if (!this.isOpen || this.hasEnded) return this.fail(failure);
    this.sendFailure = failure;
    this.queue = NOTHING;
    this.queuedBytes = 0;
  }

  private shutdown(): void {
    if (this.isShuttingDown) return;
    this.isShuttingDown = true;
    if (this.isToBackend) finishOnClose(libc, this.socket.fd);
    const request = new handles.ShutdownWrap();
    request.stream = this;
    request.oncomplete = onShutdown;
    // Anything but 0 means that nothing is pending.
    if (this.handle.shutdown(request) !== 0) this.finished();
  }
}

/** Returns 0.0.0.0 port 0 for a client that has already reset its connection. */
export function ipEndpoint({ address = "0.0.0.0", port = 0 }: HandleAddress): Endpoint {
  return { family: address.includes(":") ? 6 : 4, address: address.split("%", 1)[0]!, port };
}

const UNKNOWN_NAME: Failure = {
  code: "ERR_SSL_UNRECOGNIZED_NAME",
  message: "unrecognized server name",
};

const SCRATCH = 16_384;
/** In bytes; less than the initial size of TLSWrap's input buffer. */
const HELLO_CHUNK = 1000;

/** Buffer for small writes. If the kernel does not take one at once, the write keeps the buffer. */
let scratch = new Uint8Array(SCRATCH);

const NOTHING: Uint8Array[] = [];
