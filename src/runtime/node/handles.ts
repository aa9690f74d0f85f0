/**
 * The handles below `node:net` and `node:tls`, UNDOCUMENTED: libuv's sockets, and TLS between such a
 * socket and JavaScript. A relay does not need the streams above them, whose objects, events and
 * ticks cost more than everything that stud itself does for a connection.
 */
import type { Failure } from "../failure.ts";
import type { TicketContext } from "../openssl.ts";

/** `needs.ts` has checked that they exist. */
export const handles: Handles = findHandles();

interface Handles {
  readonly TCP: new (type: number) => TcpHandle;
  readonly TCPConnectWrap: new () => Request;
  readonly Pipe: new (type: number) => PipeHandle;
  readonly PipeConnectWrap: new () => Request;
  readonly ShutdownWrap: new () => Request;
  /** Types of both TCP and Pipe. */
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

/** What the callbacks of handles and requests report. */
export interface HandleEvents {
  /** Only `closed` may follow. */
  readonly isClosing: boolean;
  /** A connect has succeeded. */
  connected(): void;
  handshakeDone(): void;
  /** The bytes are valid until this returns. */
  received(bytes: Uint8Array): void;
  /** The peer has sent FIN or close_notify. */
  ended(): void;
  /** A write is complete, or has failed with a negative errno. */
  written(status: number): void;
  /** Our FIN is sent. */
  finished(): void;
  /** The descriptor is closed. */
  closed(): void;
  fail(failure: Failure): void;
  /** The core threw. */
  coreThrew(error: unknown): void;
  /** Returns the OCSP response for a client that requests one. May throw. */
  staple(): Uint8Array | undefined;
  /** The handshake has made a session that its client may resume. May throw. */
  storeSession(id: Uint8Array, session: Uint8Array): void;
  /** The backend has issued a session. */
  keepSession(session: Uint8Array): void;
}

/** Common to all handles. Methods return 0 or a negative errno unless stated otherwise. */
interface StreamHandle {
  stream: HandleEvents;
  /** The number of bytes in the user's buffer is in `streamBaseState`, or a negative errno. */
  onread(this: this): void;
  /** All reads go into this buffer in turn. */
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  /** Returns a request if the kernel did not take everything at once, and always with TLS. */
  writeBuffer(request: null, bytes: Uint8Array): number | WriteRequest;
  writev(request: null, chunks: readonly Uint8Array[], areBuffers: true): number | WriteRequest;
  /** Returns 1 if it is complete. */
  shutdown(request: Request): number;
}

/** A socket. libuv keeps it alive until it is closed. */
export interface SocketHandle extends StreamHandle {
  readonly fd: number;
  onconnection(this: this, status: number, accepted: SocketHandle): void;
  open(fd: number): number;
  listen(backlog: number): number;
  /** Releases the descriptor at once and calls `closed` in a later turn. */
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
 * TLS on a socket. It is garbage-collected without references. A write is encrypted before it
 * returns, and the next one must wait until it is complete.
 */
export interface TlsHandle extends StreamHandle {
  /** Passes bytes that were read from the socket before. */
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
   * After `enableSessionCallbacks`: the handshake waits for `clientHelloDone`; `loadSession` before it
   * sets the session that the client may resume.
   */
  onclienthello(this: this): void;
  /**
   * The handshake, also of TLS 1.3, has made a session; a server's waits for `newSessionDone`. A client
   * of TLS 1.3 gets sessions after the handshake.
   */
  onnewsession(this: this, id: Buffer, session: Buffer): void;
  enableSessionCallbacks(): void;
  clientHelloDone(): void;
  loadSession(session: Uint8Array): void;
  newSessionDone(): void;
  /** For a server. A certificate that cannot be verified does not end the handshake. */
  setVerifyMode(isRequested: boolean, isRequired: boolean): void;
  /** In wire format. */
  setALPNProtocols(names: Buffer): void;
  setServername(name: string): void;
  /** The session that a client offers; bytes that are no session are ignored. */
  setSession(session: Uint8Array): void;
  /** Sends a client's first message. */
  start(): void;
  /** The name that the client requested, or that of its resumed TLS 1.2 session. */
  getServername(): string | false;
  getProtocol(): string | null;
  getCipher(): { readonly name: string } | undefined;
  getALPNNegotiatedProtocol(): string | false;
  isSessionReused(): boolean;
  getX509Certificate(): CertificateHandle | undefined;
  getPeerX509Certificate(): CertificateHandle | undefined;
  /** Why the peer is not trusted, also if it has sent no certificate. */
  verifyError(): (Error & { readonly code: string }) | null;
  /** No method may be called afterwards; not from within another call or callback. */
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

/** A pending write; the handle makes it. */
export interface WriteRequest {
  handle: StreamHandle | null;
  /** Keeps the bytes that the kernel has not yet taken. */
  buffer: unknown;
  /** Its status, if it was complete before `oncomplete` was set. */
  readonly writeStatus: number | null;
  oncomplete: ((this: WriteRequest, status: number) => void) | null;
}

export interface HandleAddress {
  address?: string;
  port?: number;
}

/** OpenSSL's SSL_CTX. */
export interface NativeContext extends TicketContext {
  /** At most 32 bytes; connections copy it when they are made. */
  setSessionIdContext(context: string): void;
  /** A pointer, which JavaScript can only print. */
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
