/** One side of a connection, and the events of it. */
import type { Endpoint } from "../os/endpoint.ts";
import type { Failure } from "./failure.ts";
import type { TlsFacts } from "./tls.ts";

/** Maximum number of bytes that wait in a stream before it opens without stopping their source. */
export const MAX_EARLY_BYTES = 65_536;

/** One side of a connection. All calls are safe at any time, also after the stream has closed. */
export interface Stream {
  /** Receives this stream's events; the core sets it before any event can come. */
  handler: StreamHandler;
  /** The peer's end; the values stay readable after close. */
  readonly remote: Endpoint;
  /** Our own end, while the stream is open: for an accepted one the address the client reached. */
  readonly local: Endpoint;
  /**
   * Takes all of `bytes`. False means that they are not yet with the kernel: stop the source until
   * `writable`, and leave `bytes` unchanged until then. Before `opened` the bytes wait here, and up to
   * {@link MAX_EARLY_BYTES} of them answer true: to stop a source for the moment of a connect costs more
   * than to hold its first chunk. An adapter whose own chunks do not last copies those.
   * Bytes written after the stream closed or after `finish` are dropped.
   */
  write(bytes: Uint8Array): boolean;
  /**
   * Stops reading, so that the peer feels TCP back-pressure. At most what was already decrypted
   * still arrives. A chunk given to `received` lasts until `received` returns; `write` of the same
   * adapter copies what it keeps, unless this adapter's chunks last while their stream is paused.
   */
  pause(): void;
  resume(): void;
  /**
   * Half-closes: after everything taken by `write` is out, sends close_notify (TLS) and FIN.
   * Reading goes on. Calling it twice changes nothing.
   */
  finish(): void;
  /**
   * Releases the descriptor at once. What the kernel took is still delivered; bytes that wait in
   * this stream are dropped, and a close_notify is sent only by `finish`.
   */
  close(): void;
  /** Ends both directions at once with RST and without close_notify: the peer sees a cut. */
  reset(): void;
  /** What is known about the TLS session; an empty object for a plain stream. */
  tls(): TlsFacts;
  /**
   * Whether an open stream's handshake resumed a session, without the cost of all other facts.
   * Undefined for a plain stream, and without `capabilities.tlsFacts`.
   */
  readonly isResumed: boolean | undefined;
  /**
   * The TLS version of an open stream in the library's words, as in `TlsFacts`, at as little cost.
   * Undefined for a plain stream, and without `capabilities.tlsFacts`.
   */
  readonly tlsVersion: string | undefined;
  /** The protocol that an open stream's handshake negotiated, at as little cost; undefined: none. */
  readonly alpn: string | undefined;
  /**
   * Begins TLS on an accepted stream of a listener with `headerFirst`; `early` are bytes that were
   * received after the header. Once at most; not from within `accepted`.
   */
  startTls(early: Uint8Array): void;
}

/**
 * Events of a stream, in this order: opened, then received, writable, ended as they come, closed.
 * On a listener with `headerFirst`, `received` also comes before `opened`, with plain bytes, until
 * `startTls` is called; nothing may be written then, and an early end is a failure. Where a handler
 * throws, the stream is reset (see {@link Runtime}).
 */
export interface StreamHandler {
  /**
   * An accepted stream has finished its TLS handshake, or was accepted without TLS; a backend
   * stream is connected, with its own TLS handshake done.
   */
  opened(stream: Stream): void;
  received(stream: Stream, bytes: Uint8Array): void;
  /** Everything that `write` took is with the kernel; comes only after `write` returned false. */
  writable(stream: Stream): void;
  /** The peer sent FIN or close_notify: no more bytes will be received. Once at most. */
  ended(stream: Stream): void;
  /**
   * The descriptor is gone and no event follows. Exactly once for each stream, never from within
   * `accepted` or `connect`. `failure` is absent when both directions had ended
   * in order, or when the core itself called `close` or `reset`.
   */
  closed(stream: Stream, failure: Failure | undefined): void;
}
