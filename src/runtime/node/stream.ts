import { getSystemErrorMessage, getSystemErrorName } from "node:util";
import { cInt, SO_LINGER, SOL_SOCKET } from "../../platform.ts";
import { nobody } from "../nobody.ts";
import { tlsFacts } from "../openssl.ts";
import { EARLY_BYTES } from "../types.ts";
import type { Failure, IpEndpoint, Stream, StreamOwner, TlsFacts } from "../types.ts";
import {
  type HandleAddress,
  handles,
  type NativeContext,
  type Request,
  type TcpHandle,
  type TlsHandle,
  type WriteRequest,
} from "./handles.ts";
import { libc } from "./libc.ts";

/** What a worker's TLS handshakes have in common. */
export interface ServerContext {
  /** For a client that names none. */
  readonly fallback: NativeContext;
  /** For the name in a ClientHello, if there is a choice; it may throw. */
  readonly choose: ((serverName: string) => NativeContext) | undefined;
}

/** An accepted socket, whose owner must be set before this turn ends. */
export function acceptedStream(tcp: TcpHandle, context: ServerContext): NodeStream {
  const peer: HandleAddress = {};
  tcp.getpeername(peer);
  const stream = new NodeStream(tcp, endpoint(peer), context);
  tcp.readStart();
  return stream;
}

/** Connects to a numeric address; failures come by `closed`, with the errno's name. */
export function connect(backend: IpEndpoint, owner: StreamOwner, source?: IpEndpoint): NodeStream {
  const { TCP, TCPConnectWrap, SOCKET } = handles!;
  const tcp = new TCP(SOCKET);
  const stream = new NodeStream(tcp, backend, undefined);
  stream.owner = owner;
  if (source) bindTo(tcp, source);
  const request = new TCPConnectWrap();
  request.stream = stream;
  request.oncomplete = onConnected;
  const { family, address, port } = backend;
  const status = family === 4
    ? tcp.connect(request, address, port)
    : tcp.connect6(request, address, port);
  if (status < 0) stream.fail(errnoFailure(status));
  else tcp.setNoDelay(true);
  return stream;
}

export class NodeStream implements Stream {
  owner: StreamOwner = nobody;
  readonly remote: IpEndpoint;
  private readonly tcp: TcpHandle;
  /** Of an accepted stream. */
  readonly context: ServerContext | undefined;
  /** From the first bytes of the handshake on. */
  private secure: TlsHandle | undefined;
  /** What the bytes go through. */
  private handle: TcpHandle | TlsHandle;
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

  constructor(tcp: TcpHandle, remote: IpEndpoint, context: ServerContext | undefined) {
    this.tcp = tcp;
    this.handle = tcp;
    this.remote = remote;
    this.context = context;
    this.readBy(tcp);
  }

  get local(): IpEndpoint {
    const found: HandleAddress = {};
    this.tcp.getsockname(found);
    return endpoint(found);
  }

  write(bytes: Uint8Array): boolean {
    if (this.isFinishing || this.isClosing) return true;
    if (this.isReady) return this.secure ? this.encrypt(bytes) : this.send(bytes);
    if (this.queuedBytes === 0) this.queue = [];
    this.queue.push(new Uint8Array(bytes));
    this.queuedBytes += bytes.length;
    if (!this.isOpen && this.queuedBytes <= EARLY_BYTES) return true;
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
    this.tcp.close(onClosed);
  }

  reset(): void {
    if (this.isClosing) return;
    // The handle's own `reset` fails while a shutdown is pending.
    const { fd } = this.tcp;
    if (fd >= 0) libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, cutOnClose, cutOnClose.length);
    this.close();
  }

  tls(): TlsFacts {
    const { secure } = this;
    if (!secure || this.isClosing) return {};
    return tlsFacts(secure.getServername(), secure.getProtocol(), secure.getCipher()?.name, false);
  }

  /** The handshake or the connect is done. */
  opened(): void {
    this.isOpen = true;
    this.tell("opened");
    if (!this.secure && !this.isPaused && !this.isClosing) this.tcp.readStart();
    this.goOn();
  }

  received(bytes: Uint8Array): void {
    if (this.context && !this.secure) return this.shakeHands(bytes, this.context);
    try {
      this.owner.received(this, bytes);
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
    this.secure?.destroySSL();
    try {
      this.owner.closed(this, this.failure);
    } catch {
      // There is nothing left to end, and nobody to tell.
    }
  }

  fail(failure: Failure): void {
    if (this.isClosing) return;
    this.failure = failure;
    this.close();
  }

  /** Ends a stream whose owner threw. */
  abandon(error: unknown): void {
    if (this.isClosing) return;
    this.failure = internalFailure(error);
    this.reset();
  }

  /**
   * TLS is put on top of the socket at its first bytes, and these are handed over in pieces: the
   * buffer of what comes from the socket stays at its first size of 1 KiB until it is once full.
   * It would be 64 KiB if the socket were read into it from the beginning.
   */
  private shakeHands(bytes: Uint8Array, { fallback, choose }: ServerContext): void {
    const secure = handles!.wrap(this.tcp, fallback, true, false);
    this.secure = secure;
    this.handle = secure;
    this.readBy(secure);
    secure.onhandshakedone = onHandshakeDone;
    secure.onerror = onTlsError;
    if (choose) {
      secure.oncertcb = onHello;
      secure.enableCertCb();
    }
    for (let i = 0; i < bytes.length && !this.isClosing; i += PIECE) {
      secure.receive(bytes.subarray(i, i + PIECE));
    }
  }

  private readBy(handle: TcpHandle | TlsHandle): void {
    handle.stream = this;
    handle.onread = onRead;
    handle.useUserBuffer(chunk);
  }

  private tell(event: "opened" | "writable" | "ended"): void {
    try {
      this.owner[event](this);
    } catch (error) {
      this.abandon(error);
    }
  }

  private get isReadable(): boolean {
    return this.isOpen && !this.hasEnded && !this.isClosing;
  }

  private get isReady(): boolean {
    return this.isOpen && !this.isWriting && this.queuedBytes === 0;
  }

  private encrypt(bytes: Uint8Array): boolean {
    this.begun(this.secure!.writeBuffer(null, bytes), undefined);
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
    this.begun(this.tcp.writeBuffer(null, kept), kept);
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
    if (this.isFinishing) return this.shutdown();
    if (!this.isBlocked) return;
    this.isBlocked = false;
    this.tell("writable");
  }

  private shutdown(): void {
    if (this.isShuttingDown) return;
    this.isShuttingDown = true;
    const request = new handles!.ShutdownWrap();
    request.stream = this;
    request.oncomplete = onShutdown;
    // Anything but 0 means that there is nothing to wait for.
    if (this.handle.shutdown(request) !== 0) this.finished();
  }
}

// The callbacks of all handles: a connection costs no closure.

function onHandshakeDone(this: TlsHandle): void {
  const { stream } = this;
  if (!stream.isOpen && !stream.isClosing) stream.opened();
}

function onConnected(this: Request, status: number): void {
  const { stream } = this;
  if (stream.isClosing) return;
  if (status < 0) stream.fail(errnoFailure(status));
  else stream.opened();
}

function onHello(this: TlsHandle, { servername }: { servername: string }): void {
  const { stream } = this;
  if (stream.isClosing) return;
  if (servername) {
    try {
      this.sni_context = stream.context!.choose!(servername);
    } catch (error) {
      return stream.abandon(error);
    }
  }
  this.certCbDone();
}

function onRead(this: TcpHandle | TlsHandle): void {
  const { stream } = this;
  if (stream.isClosing) return;
  const { streamBaseState, kReadBytesOrError } = handles!;
  const size = streamBaseState[kReadBytesOrError]!;
  if (size > 0) stream.received(size === chunk.length ? chunk : chunk.subarray(0, size));
  else if (size === UV_EOF) stream.ended();
  else if (size < 0) stream.fail(errnoFailure(size));
}

function onTlsError(this: TlsHandle, error: Error): void {
  const { code, reason } = error as Error & { code?: string; reason?: string };
  this.stream.fail({ code: code ?? error.name, message: oneLine(reason ?? error.message) });
}

function onWritten(this: WriteRequest, status: number): void {
  this.handle!.stream.written(status);
}

function onShutdown(this: Request): void {
  if (!this.stream.isClosing) this.stream.finished();
}

function onClosed(this: TcpHandle): void {
  this.stream.closed();
}

/** The result of a write that did not have to wait after all, or null. */
function earlyStatus(request: WriteRequest): number | null {
  return handles!.streamBaseState[handles!.kLastWriteErr] || request.writeStatus;
}

export function internalFailure(error: unknown): Failure {
  return { code: "ERR_INTERNAL", message: oneLine(String((error as Error)?.message ?? error)) };
}

/** `errno` is negative. */
export function errnoFailure(errno: number): Failure {
  const code = getSystemErrorName(errno);
  return { code, message: getSystemErrorMessage(errno) ?? code };
}

function oneLine(text: string): string {
  return text.split("\n", 1)[0]!;
}

/** A bind that fails (a source lost since the start) lets the system choose. */
function bindTo(tcp: TcpHandle, { family, address, port }: IpEndpoint): void {
  if (family === 4) tcp.bind(address, port);
  else tcp.bind6(address, port, 0);
}

/** A client that has reset its connection already has no address. */
function endpoint({ address = "0.0.0.0", port = 0 }: HandleAddress): IpEndpoint {
  return { family: address.includes(":") ? 6 : 4, address: address.split("%", 1)[0]!, port };
}

const UV_EOF = -4095;

/** `struct linger`: on, no time, so that closing sends RST. */
const cutOnClose = new Uint8Array([...cInt(1), ...cInt(0)]);

/** Most that is read in one go, in bytes. */
const CHUNK = 65_536;
const SCRATCH = 16_384;
/** Less than the first size of TLSWrap's buffer, in bytes. */
const PIECE = 1000;

/** All streams read into this, one after the other: what has to last is copied. */
const chunk = new Uint8Array(CHUNK);

/** Small writes to the kernel are made from here. What it does not take at once stays here. */
let scratch = new Uint8Array(SCRATCH);

const NOTHING: Uint8Array[] = [];
