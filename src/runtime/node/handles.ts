/**
 * What `node:net` and `node:tls` are made of, UNDOCUMENTED: libuv's sockets, and TLS between such a
 * socket and JavaScript. A relay has no use for the streams above them, whose objects, events and
 * ticks cost more than all that stud itself does for a connection.
 */
import type { Failure } from "../failure.ts";
import type { TicketContext } from "../openssl.ts";

/** `needs.ts` has made sure that they are there. */
export const handles: Handles = findHandles();

interface Handles {
  readonly TCP: new (type: number) => TcpHandle;
  readonly TCPConnectWrap: new () => Request;
  readonly Pipe: new (type: number) => PipeHandle;
  readonly PipeConnectWrap: new () => Request;
  readonly ShutdownWrap: new () => Request;
  /** Of TCP and Pipe alike. */
  readonly SOCKET: number;
  readonly SERVER: number;
  /** TLS on top of `socket`, whose bytes no longer reach JavaScript. */
  wrap(
    socket: SocketHandle,
    context: NativeContext,
    isServer: boolean,
    isWriting: false,
  ): TlsHandle;
  /** Results of the last call or callback, at these indices. */
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteErr: number;
}

/** What the callbacks of handles and requests tell. */
export interface HandleEvents {
  /** Nothing but `closed` may follow. */
  readonly isClosing: boolean;
  /** A socket of our own has reached its peer. */
  connected(): void;
  handshakeDone(): void;
  /** The bytes last until this returns. */
  received(bytes: Uint8Array): void;
  /** The peer's end. */
  ended(): void;
  /** A write is done, or has failed with a negative errno. */
  written(status: number): void;
  /** Our own end is out. */
  finished(): void;
  /** The descriptor is gone. */
  closed(): void;
  fail(failure: Failure): void;
  /** The core threw. */
  abandon(error: unknown): void;
  /** The OCSP response for a client that asks for one. May throw. */
  staple(): Uint8Array | undefined;
  /** The handshake has made a session that its client may come back to. May throw. */
  keepSession(id: Uint8Array, session: Uint8Array): void;
}

/** What all have in common. Calls answer 0 or a negative errno where nothing else is said. */
interface StreamHandle {
  stream: HandleEvents;
  /** The number of bytes in the user's buffer is in `streamBaseState`, or a negative errno. */
  onread(this: this): void;
  /** All reads go into this buffer, one after the other. */
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  /** A request when the kernel could not take everything at once, and with TLS always. */
  writeBuffer(request: null, bytes: Uint8Array): number | WriteRequest;
  writev(request: null, chunks: readonly Uint8Array[], areBuffers: true): number | WriteRequest;
  /** 1 when there was nothing to wait for. */
  shutdown(request: Request): number;
}

/** A socket. libuv keeps it until it is closed. */
export interface SocketHandle extends StreamHandle {
  readonly fd: number;
  onconnection(this: this, status: number, accepted: SocketHandle): void;
  open(fd: number): number;
  listen(backlog: number): number;
  /** Gives the descriptor back at once and calls `closed` in a later turn. */
  close(closed?: (this: SocketHandle) => void): void;
}

export interface TcpHandle extends SocketHandle {
  bind(address: string, port: number): number;
  bind6(address: string, port: number, flags: number): number;
  connect(request: Request, address: string, port: number): number;
  connect6(request: Request, address: string, port: number): number;
  setNoDelay(isOn: boolean): number;
  getsockname(address: HandleAddress): number;
  getpeername(address: HandleAddress): number;
}

/** A Unix stream socket. */
export interface PipeHandle extends SocketHandle {
  /** An abstract name begins with a 0 byte. */
  connect(request: Request, path: string): number;
}

/**
 * TLS on a socket. It lives as long as something refers to it. A write is encrypted before it
 * returns, and the next one must wait until it is complete.
 */
export interface TlsHandle extends StreamHandle {
  /** Takes what was read from the socket before. */
  receive(bytes: Uint8Array): void;
  onhandshakedone(this: this): void;
  onerror(this: this, error: Error): void;
  /**
   * After `enableCertCb`: the handshake waits for `certCbDone`. It is not called for a client that
   * resumes a session.
   */
  oncertcb(this: this, hello: { readonly OCSPRequest: boolean }): void;
  enableCertCb(): void;
  certCbDone(): void;
  setOCSPResponse(response: Uint8Array): void;
  /**
   * After `enableSessionCallbacks`: the handshake waits for `clientHelloDone`, before which
   * `loadSession` gives it what the client may come back to.
   */
  onclienthello(this: this): void;
  /** The handshake has made a session, also one of TLS 1.3; it waits for `newSessionDone`. */
  onnewsession(this: this, id: Buffer, session: Buffer): void;
  enableSessionCallbacks(): void;
  clientHelloDone(): void;
  loadSession(session: Uint8Array): void;
  newSessionDone(): void;
  /** Of a server. A certificate that cannot be verified ends no handshake. */
  setVerifyMode(isAsked: boolean, isRequired: boolean): void;
  /** In the form of the wire. */
  setALPNProtocols(names: Buffer): void;
  setServername(name: string): void;
  /** Sends a client's first message. */
  start(): void;
  /** What the client asked for, or what its resumed session of TLS 1.2 belongs to. */
  getServername(): string | false;
  getProtocol(): string | null;
  getCipher(): { readonly name: string } | undefined;
  getALPNNegotiatedProtocol(): string | false;
  isSessionReused(): boolean;
  getX509Certificate(): CertificateHandle | undefined;
  getPeerX509Certificate(): CertificateHandle | undefined;
  /** Why the peer's certificate, or that there is none, is no ground to trust it. */
  verifyError(): (Error & { readonly code: string }) | null;
  /** Nothing may be called afterwards, and this not from within another call or callback. */
  destroySSL(): void;
}

interface CertificateHandle {
  /** DER. */
  raw(): Uint8Array;
}

/** A connect or a shutdown. */
export interface Request {
  stream: HandleEvents;
  oncomplete(this: this, status: number): void;
}

/** A write that goes on; the handle makes it. */
export interface WriteRequest {
  handle: StreamHandle | null;
  /** What the kernel has not yet taken is read from here. */
  buffer: unknown;
  /** Its result, if it was complete before `oncomplete` was set. */
  readonly writeStatus: number | null;
  oncomplete: ((this: WriteRequest, status: number) => void) | null;
}

export interface HandleAddress {
  address?: string;
  port?: number;
}

/** OpenSSL's SSL_CTX. */
export interface NativeContext extends TicketContext {
  /** A pointer that JavaScript can only print. */
  readonly _external: object;
}

function findHandles(): Handles {
  const { binding } = process as unknown as { binding(name: string): Record<string, unknown> };
  const { TCP, TCPConnectWrap, constants } = binding("tcp_wrap");
  const { Pipe, PipeConnectWrap } = binding("pipe_wrap");
  const sockets = { TCP, TCPConnectWrap, Pipe, PipeConnectWrap, ...constants as object };
  const all = { ...sockets, ...binding("tls_wrap"), ...binding("stream_wrap") };
  return all as unknown as Handles;
}
