/** One side of a connection, and its events. */
import type { Endpoint } from "../os/endpoint.ts";
import type { Failure } from "./failure.ts";
import type { TlsFacts } from "./tls.ts";

/** Maximum number of bytes that a stream queues before it opens without pausing their source. */
export const MAX_EARLY_BYTES = 65_536;

/** One side of a connection. All calls are safe at any time, even after the stream has closed. */
export interface Stream {
  /** Receives this stream's events; the core sets it before any event can come. */
  handler: StreamHandler;
  /** The peer's address; it stays readable after close. */
  readonly remote: Endpoint;
  /** Our address, while the stream is open: for an accepted stream the one the client connected to. */
  readonly local: Endpoint;
  /**
   * Accepts all of `bytes`. False means that they are not yet with the kernel: pause the source until
   * `writable`, and leave `bytes` unchanged until then. Before `opened` the bytes are queued, and up to
   * {@link MAX_EARLY_BYTES} of them return true: pausing a source during a connect costs more than
   * holding its first chunk. An adapter that reuses its chunks copies those.
   * Bytes written after `finish` or after the stream closed are dropped.
   */
  write(bytes: Uint8Array): boolean;
  /** Bytes that were written, or the end of `finish`, are not yet with the kernel. */
  readonly isSending: boolean;
  /**
   * Whether the peer's system has acknowledged everything written, so that a reset takes nothing
   * away; costs a system call. True for a Unix socket once nothing is queued here.
   */
  isDelivered(): boolean;
  /**
   * Whether the peer has sent any byte, read or not; costs a system call. True where the adapter does
   * not know the descriptor, and with `isUrgent` also where finding it would take long.
   */
  hasPeerSent(isUrgent?: boolean): boolean;
  /**
   * After `ended`: whether close_notify preceded FIN. Undefined for a plain stream, and without
   * `capabilities.closeNotify`.
   */
  readonly hasCloseNotify: boolean | undefined;
  /**
   * Stops reading, so that TCP back-pressure reaches the peer. At most what was already decrypted
   * still arrives. A chunk passed to `received` is valid until `received` returns; `write` of the same
   * adapter copies what it keeps, unless this adapter's chunks stay valid while their stream is paused.
   */
  pause(): void;
  resume(): void;
  /**
   * Half-closes: once all written bytes are sent, sends close_notify (TLS) and FIN.
   * Reading continues. A second call has no effect.
   */
  finish(): void;
  /**
   * Releases the descriptor at once. What is with the kernel is still delivered; bytes queued in
   * this stream are dropped. Sends no close_notify; only `finish` does.
   */
  close(): void;
  /** Ends both directions at once with RST and without close_notify: the peer sees an error. */
  reset(): void;
  /** Facts about the TLS session; an empty object for a plain stream. */
  tls(): TlsFacts;
  /**
   * Whether an open stream's handshake resumed a session, without the cost of the other facts.
   * Undefined for a plain stream, and without `capabilities.tlsFacts`.
   */
  readonly isResumed: boolean | undefined;
  /**
   * The TLS version of an open stream as in `TlsFacts`, without the cost of the other facts.
   * Undefined for a plain stream, and without `capabilities.tlsFacts`.
   */
  readonly tlsVersion: string | undefined;
  /**
   * The group of an open stream's key exchange by OpenSSL's name (`X25519MLKEM768`, `x25519` …), for
   * the price of a foreign call. Undefined without a key exchange, and where no library reports it.
   */
  readonly group?: string | undefined;
  /** The protocol that an open stream negotiated by ALPN, at the same low cost; undefined: none. */
  readonly alpn: string | undefined;
  /**
   * Starts TLS on an accepted stream of a listener with `headerFirst`; `early` are bytes that were
   * received after the header. At most once; not from within `accepted`.
   */
  startTls(early: Uint8Array): void;
}

/**
 * Events of a stream, in this order: opened; received, writable and ended as they occur; closed.
 * On a listener with `headerFirst`, `received` also comes before `opened`, with plain bytes, until
 * `startTls` is called; nothing may be written then, and an early end is a failure. If a handler
 * throws, the stream is reset (see {@link Runtime}).
 */
export interface StreamHandler {
  /**
   * An accepted stream has completed its TLS handshake, if it has one; a backend stream is connected
   * and has completed its TLS handshake, if it has one.
   */
  opened(stream: Stream): void;
  received(stream: Stream, bytes: Uint8Array): void;
  /** Everything written is with the kernel; comes only after `write` returned false. */
  writable(stream: Stream): void;
  /**
   * The peer sent FIN or close_notify: no more bytes will be received. At most once. An end within a
   * TLS record is a failure instead, with `capabilities.truncation`.
   */
  ended(stream: Stream): void;
  /**
   * The descriptor is closed and no event follows. Exactly once for each stream, never from within
   * `accepted` or `connect`. `failure` is absent if both directions ended in order, or if the core
   * itself called `close` or `reset`. Bytes that the peer sent before it failed are received first.
   */
  closed(stream: Stream, failure: Failure | undefined): void;
}
