import { raise } from "../../base/raise.ts";
import { SO_LINGER, SOL_SOCKET } from "../../os/constants.ts";
import { cInt } from "../../os/structures.ts";
import { ignoringHandler } from "../ignoring_handler.ts";
import { UNRECOGNIZED_NAME } from "../openssl.ts";
import { MAX_EARLY_BYTES, type Stream, type StreamHandler } from "../stream.ts";
import type { Endpoint, UnixEndpoint } from "../../os/endpoint.ts";
import { type Failure, internalFailure } from "../failure.ts";
import type { TlsFacts } from "../tls.ts";
import type { ClientTls } from "./client_tls.ts";
import {
  chunk,
  earlyStatus,
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
import { helloName, PartialHello } from "../client_hello.ts";
import { libc } from "./libc.ts";
import type { Served, ServerTls } from "./server_tls.ts";

/** What becomes of the bytes on a socket; all absent: they go through as they are. */
export interface Security {
  /** Of an accepted socket. */
  readonly server?: ServerTls | undefined;
  /** `server` waits until {@link NodeStream.secure} is called. */
  readonly headerFirst?: boolean;
  /** Of a socket that connects. */
  readonly client?: ClientTls | undefined;
}

export class NodeStream implements Stream, HandleEvents {
  handler: StreamHandler = ignoringHandler;
  readonly remote: Endpoint;
  private readonly socket: SocketHandle;
  /** Our own end of a Unix socket. */
  private readonly unixLocal: UnixEndpoint | undefined;
  private readonly serverTls: ServerTls | undefined;
  private readonly clientTls: ClientTls | undefined;
  /** TLS waits for the owner, who reads something else first. */
  private isBeforeTls: boolean;
  /** From the first bytes of the handshake on. */
  private tlsHandle: TlsHandle | undefined;
  /** What the bytes go through. */
  private handle: SocketHandle | TlsHandle;
  private hello: PartialHello | undefined;
  /** As the client sent it, where there is a choice by it. */
  private serverName = "";
  private served: Served | undefined;
  private failure: Failure | undefined;
  /** Copies of what waits here for the connect, or for the write before it. */
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

  constructor(
    socket: SocketHandle,
    remote: Endpoint,
    unixLocal: UnixEndpoint | undefined,
    { server, client, headerFirst }: Security,
  ) {
    this.socket = socket;
    this.handle = socket;
    this.remote = remote;
    this.unixLocal = unixLocal;
    this.serverTls = server;
    this.clientTls = client;
    this.isBeforeTls = headerFirst ?? false;
    this.readBy(socket);
  }

  get local(): Endpoint {
    if (this.unixLocal) return this.unixLocal;
    const found: HandleAddress = {};
    (this.socket as TcpHandle).getsockname(found);
    return ipEndpoint(found);
  }

  write(bytes: Uint8Array): boolean {
    if (this.isFinishing || this.isClosing) return true;
    if (this.isReady) return this.tlsHandle ? this.encrypt(bytes) : this.send(bytes);
    if (this.queuedBytes === 0) this.queue = [];
    this.queue.push(new Uint8Array(bytes));
    this.queuedBytes += bytes.length;
    if (!this.isOpen && this.queuedBytes <= MAX_EARLY_BYTES) return true;
    this.isBlocked = true;
    return false;
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
    if (fd >= 0) libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, cutOnClose, cutOnClose.length);
    this.close();
  }

  tls(): TlsFacts {
    const { tlsHandle, served, serverTls, clientTls, serverName } = this;
    if (!tlsHandle || this.isClosing) return serverName === "" ? {} : { serverName };
    return clientTls
      ? clientTls.facts(tlsHandle)
      : serverTls!.facts(tlsHandle, served!, serverName);
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

  /** A socket of our own has reached its peer. */
  connected(): void {
    if (!this.clientTls) return this.opened();
    const handle = this.clientTls.wrap(this.socket);
    this.putOn(handle);
    handle.readStart();
    handle.start();
  }

  handshakeDone(): void {
    const { serverTls, clientTls, tlsHandle } = this;
    if (this.isOpen || this.isClosing) return;
    let failure: Failure | undefined;
    try {
      failure = clientTls
        ? clientTls.verify(tlsHandle!, this.remote)
        : serverTls!.check(tlsHandle!, this.serverName);
    } catch (error) {
      return this.abandon(error);
    }
    if (failure) this.fail(failure);
    else this.opened();
  }

  /** The connect is done, and the handshake if there is one. */
  opened(): void {
    this.isOpen = true;
    this.tell("opened");
    if (!this.isClosing) {
      if (this.isPaused) this.handle.readStop();
      else if (!this.tlsHandle) this.socket.readStart();
    }
    this.goOn();
  }

  received(bytes: Uint8Array): void {
    if (this.serverTls && !this.tlsHandle && !this.isBeforeTls) return this.shakeHands(bytes);
    try {
      this.handler.received(this, bytes);
    } catch (error) {
      this.abandon(error);
    }
  }

  /** The peer's end. */
  ended(): void {
    if (!this.isOpen) {
      this.fail({ code: "ECONNRESET", message: "the peer left during the handshake" });
      return;
    }
    this.hasEnded = true;
    this.tell("ended");
    if (this.hasFinished) this.close();
  }

  /** Our own end is out. */
  finished(): void {
    this.hasFinished = true;
    if (this.hasEnded) this.close();
  }

  written(status: number): void {
    this.isWriting = false;
    if (status < 0) this.fail(errnoFailure(status));
    else this.goOn();
  }

  /** The descriptor is gone. */
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
    this.failure = failure;
    // A backend that was not let in must not wait for more.
    if (this.clientTls && !this.isOpen) this.reset();
    else this.close();
  }

  /** The core threw. */
  abandon(error: unknown): void {
    const failure = internalFailure(error);
    if (this.isClosing) return;
    this.failure = failure;
    this.reset();
  }

  staple(): Uint8Array | undefined {
    return this.served!.staple!();
  }

  /** The handshake has made a session that its client may come back to. */
  keepSession(id: Uint8Array, session: Uint8Array): void {
    this.serverTls!.settings.sessions!.store(this.served!.policy, id, session);
  }

  /** Begins when the name is known that the certificate is chosen by, if there is a choice. */
  private shakeHands(bytes: Uint8Array): void {
    const tls = this.serverTls!;
    let first = bytes;
    if (tls.settings.choice || tls.settings.sessions) {
      const name = this.readName(bytes);
      if (name === undefined) return;
      this.serverName = name;
      first = this.hello?.bytes ?? bytes;
      this.hello = undefined;
    }
    try {
      this.served = tls.serve(this.serverName);
      if (!this.served) return this.refuseName();
      const id = tls.wantedSession(first);
      if (!id) this.beginTls(first);
      else if (id.length === 0) this.beginTls(first, "none");
      else this.findSession(id, first);
    } catch (error) {
      this.abandon(error);
    }
  }

  /** Reads no more until it is known whether there is such a session. */
  private findSession(id: Uint8Array, hello: Uint8Array): void {
    const kept = new Uint8Array(hello);
    const { socket, serverTls, served } = this;
    socket.readStop();
    serverTls!.settings.sessions!.find(served!.policy, id, (session) => {
      if (this.isClosing) return;
      try {
        this.beginTls(kept, session ?? "none");
      } catch (error) {
        return this.abandon(error);
      }
      if (!this.isClosing) this.handle.readStart();
    });
  }

  /**
   * Undefined while more of the ClientHello has to come. Node could switch certificates in
   * mid-handshake only: one of several for a name, and what a resumed session was made under, would
   * be lost on the way.
   */
  private readName(bytes: Uint8Array): string | undefined {
    if (!this.hello) {
      const found = helloName(bytes);
      if (typeof found === "string") return found;
      this.hello = new PartialHello();
    }
    return this.hello.add(bytes);
  }

  /**
   * TLS is put on top of the socket at its first bytes, and these are handed over in pieces: the
   * buffer of what comes from the socket stays at its first size of 1 KiB until it is once full.
   * It would be 64 KiB if the socket were read into it from the beginning.
   */
  private beginTls(bytes: Uint8Array, session?: Uint8Array | "none"): void {
    const handle = this.serverTls!.wrap(this.socket, this.served!, session);
    this.putOn(handle);
    for (let i = 0; i < bytes.length && !this.isClosing; i += PIECE) {
      handle.receive(bytes.subarray(i, i + PIECE));
    }
  }

  private refuseName(): void {
    this.begun(this.socket.writeBuffer(null, UNRECOGNIZED_NAME), UNRECOGNIZED_NAME);
    this.fail({ code: "ERR_SSL_UNRECOGNIZED_NAME", message: "unrecognized server name" });
  }

  private putOn(handle: TlsHandle): void {
    this.tlsHandle = handle;
    this.handle = handle;
    this.readBy(handle);
    handle.onhandshakedone = onHandshakeDone;
    handle.onerror = onTlsError;
  }

  private readBy(handle: SocketHandle | TlsHandle): void {
    handle.stream = this;
    handle.onread = onRead;
    handle.useUserBuffer(chunk);
  }

  private tell(event: "opened" | "writable" | "ended"): void {
    try {
      this.handler[event](this);
    } catch (error) {
      this.abandon(error);
    }
  }

  private get isReadable(): boolean {
    return (this.isOpen || this.isBeforeTls) && !this.hasEnded && !this.isClosing;
  }

  private get isReady(): boolean {
    return this.isOpen && !this.isWriting && this.queuedBytes === 0;
  }

  private encrypt(bytes: Uint8Array): boolean {
    this.begun(this.tlsHandle!.writeBuffer(null, bytes), undefined);
    // TLS reports every write later. A source that has more ready stops for that long; one that
    // has not need not.
    if (!this.isWriting || bytes.length < chunk.length) return true;
    this.isBlocked = true;
    return false;
  }

  private send(bytes: Uint8Array): boolean {
    const isSmall = bytes.length <= scratch.length;
    const kept = isSmall ? scratch.subarray(0, bytes.length) : new Uint8Array(bytes);
    if (isSmall) kept.set(bytes);
    this.begun(this.socket.writeBuffer(null, kept), kept);
    if (!this.isWriting) return true;
    if (isSmall) scratch = new Uint8Array(SCRATCH);
    this.isBlocked = true;
    return false;
  }

  /** After a write has returned. */
  private begun(result: number | WriteRequest, kept: unknown): void {
    const status = typeof result === "number" ? result : earlyStatus(result);
    if (status === null) {
      const request = result as WriteRequest;
      this.isWriting = true;
      request.handle = this.handle;
      request.buffer = kept;
      request.oncomplete = onWritten;
    } else if (status !== 0) {
      this.fail(errnoFailure(status));
    }
  }

  /** Everything sent so far is with the kernel. */
  private goOn(): void {
    if (this.isWriting || this.isClosing) return;
    if (this.queuedBytes > 0) {
      const chunks = this.queue;
      this.queue = NOTHING;
      this.queuedBytes = 0;
      this.begun(this.handle.writev(null, chunks, true), chunks);
      if (this.isWriting || this.isClosing) return;
    }
    if (this.isFinishing) this.shutdown();
    if (!this.isBlocked || this.isClosing) return;
    this.isBlocked = false;
    this.tell("writable");
  }

  private shutdown(): void {
    if (this.isShuttingDown) return;
    this.isShuttingDown = true;
    const request = new handles.ShutdownWrap();
    request.stream = this;
    request.oncomplete = onShutdown;
    // Anything but 0 means that there is nothing to wait for.
    if (this.handle.shutdown(request) !== 0) this.finished();
  }
}

/** A client that has reset its connection already has no address. */
export function ipEndpoint({ address = "0.0.0.0", port = 0 }: HandleAddress): Endpoint {
  return { family: address.includes(":") ? 6 : 4, address: address.split("%", 1)[0]!, port };
}

/** `struct linger`: on, no time, so that closing sends RST. */
const cutOnClose = new Uint8Array([...cInt(1), ...cInt(0)]);

const SCRATCH = 16_384;
/** Less than the first size of TLSWrap's buffer, in bytes. */
const PIECE = 1000;

/** Small writes to the kernel are made from here. What it does not take at once stays here. */
let scratch = new Uint8Array(SCRATCH);

const NOTHING: Uint8Array[] = [];
