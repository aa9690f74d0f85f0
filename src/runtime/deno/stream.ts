/**
 * One side of a connection. Deno is pulled (`read` and `write` return promises), the core is pushed:
 * `Input` and `Output` translate between them, and the stream owns both.
 */
import { raise } from "../../base/raise.ts";
import { SHUT_RDWR } from "../../os/constants.ts";
import { hasReceived, isAcknowledged, received } from "../../os/tcp_info.ts";
import { endInOrder } from "../end_after_alert.ts";
import { ignoringHandler } from "../ignoring_handler.ts";
import type { Endpoint, IpEndpoint, UnixEndpoint } from "../../os/endpoint.ts";
import { type Failure, internalFailure } from "../failure.ts";
import type { Stream, StreamHandler } from "../stream.ts";
import type { ClientTlsSettings, TlsFacts } from "../tls.ts";
import { type Conn, Deno, libc, type NetAddr, type TlsConn } from "./api.ts";
import { cut, descriptors } from "./descriptors.ts";
import { failureOf, handshakeFailureOf, isUnexpectedEof } from "./failures.ts";
import type { HeldStream, HelloHold } from "./hello.ts";
import { Input, type Receiver } from "./input.ts";
import { Output, type Sender } from "./output.ts";

export class DenoStream implements Stream, Receiver, Sender, HeldStream {
  handler: StreamHandler = ignoringHandler;
  readonly remote: Endpoint;
  local: Endpoint;
  /** The descriptor that {@link descriptors} found, or -1. */
  fd = -1;
  hold: HelloHold | undefined;
  foreign: Uint8Array | undefined;
  hasReceived = false;
  readonly #isPlain: boolean;
  #phase: "opening" | "open" | "closed" = "opening";
  #conn: Conn | undefined = undefined;
  #dialing: AbortController | undefined = undefined;
  #failure: Failure | undefined = undefined;
  /** Nothing can be sent any more. */
  #sendFailure: Failure | undefined = undefined;
  #facts: TlsFacts = NO_FACTS;
  readonly #input: Input;
  readonly #output: Output;

  constructor(remote: Endpoint, local: Endpoint, isPlain: boolean, isToBackend = false) {
    this.remote = remote;
    this.local = local;
    this.#isPlain = isPlain;
    this.#input = new Input(this, isPlain);
    this.#output = new Output(this, isPlain, isToBackend);
  }

  get isOpening(): boolean {
    return this.#phase === "opening";
  }

  /** Sets the connection, which is not yet open for use. */
  attach(conn: Conn, fd: number | undefined): void {
    this.#conn = conn;
    descriptors.add(this, fd);
  }

  /** Waits for the handshake of the attached connection, then opens. */
  async handshake(conn: TlsConn): Promise<void> {
    try {
      const { alpnProtocol } = await conn.handshake();
      if (alpnProtocol !== null) this.#facts = { alpn: alpnProtocol };
    } catch (error) {
      // No reset: rustls may still have an alert to send, which says why.
      return this.#close(this.#explained(handshakeFailureOf(error), error));
    }
    this.open();
  }

  /** Connects over TCP, then starts TLS if it has settings. */
  async dial({ address, port }: IpEndpoint, tls: ClientTlsSettings | undefined): Promise<void> {
    this.#dialing = new AbortController();
    let conn: Conn;
    try {
      conn = await Deno.connect({ hostname: address, port, signal: this.#dialing.signal });
    } catch (error) {
      return this.#close(failureOf(error));
    }
    this.#dialing = undefined;
    if (this.#phase === "closed") return conn[Symbol.dispose]();
    try {
      this.local = endpoint(conn.localAddr);
      this.attach(conn, undefined);
      conn.setNoDelay(true);
    } catch (error) {
      return this.#close(failureOf(error));
    }
    if (tls) return await this.#startTls(conn, tls);
    this.open();
  }

  /** Connects to a Unix socket, which succeeds or fails at once; TLS is not supported. */
  async dialUnix({ path }: UnixEndpoint, wantsTls: boolean): Promise<void> {
    if (wantsTls) {
      return this.#close({
        code: "ENOTSUP",
        message: "Deno does not support TLS over Unix sockets",
      });
    }
    const fd = descriptors.lowestFree();
    try {
      const dialing = Deno.connect({ transport: "unix", path: path.replace(/^@/, "\0") });
      const isFound = descriptors.isUnixSocket(fd);
      const conn = await dialing;
      if (this.#phase === "closed") return conn[Symbol.dispose]();
      this.attach(conn, isFound ? fd : undefined);
    } catch (error) {
      return this.#close(failureOf(error));
    }
    this.open();
  }

  /** Opens the stream for the core. */
  open(): void {
    if (this.#phase === "closed") return;
    this.#phase = "open";
    this.#output.open(this.#conn!);
    this.#notify("opened");
    if (!this.#isOpen()) return;
    this.#output.push();
    this.#input.open(this.#conn!);
  }

  write(bytes: Uint8Array): boolean {
    return this.#output.write(bytes);
  }

  get isSending(): boolean {
    return this.#phase !== "closed" && !this.#sendFailure && this.#output.isPending;
  }

  isDelivered(): boolean {
    if (this.#phase === "closed") return true;
    return !this.isSending &&
      descriptors.with(this, this.#isPlain ? acknowledged : acknowledgedForLong) !== false;
  }

  hasPeerSent(isUrgent = false): boolean {
    // A search for each of thousands of silent clients would cost more than their handshakes.
    return (isUrgent && this.fd === -1) || this.#phase === "closed" ||
      descriptors.with(this, hasSent) !== false;
  }

  get hasCloseNotify(): boolean | undefined {
    return this.#isPlain ? undefined : this.#input.hasCloseNotify;
  }

  pause(): void {
    this.#input.pause();
  }

  resume(): void {
    this.#input.resume();
  }

  finish(): void {
    this.#output.finish();
  }

  close(): void {
    if (this.#phase === "closed") return;
    // Otherwise Deno sends close_notify, and keeps the descriptor until the peer has read all.
    if (this.#conn && (!this.#isPlain || this.#output.isWriting)) {
      descriptors.with(this, (fd) => libc.shutdown(fd, SHUT_RDWR));
    }
    this.#close(undefined);
  }

  reset(): void {
    if (this.#phase === "closed") return;
    if (this.#conn) descriptors.with(this, cut);
    this.#close(undefined);
  }

  tls(): TlsFacts {
    return this.#facts;
  }

  /** Deno does not report it. */
  get isResumed(): undefined {
    return undefined;
  }

  /** Deno does not report it. */
  get tlsVersion(): undefined {
    return undefined;
  }

  get alpn(): string | undefined {
    return this.#facts.alpn;
  }

  /** Throws: no listener of Deno reads a header before TLS. */
  startTls(): void {
    throw new Error("Deno cannot start TLS on an accepted connection");
  }

  /** Called by the two halves only, like the next five. */
  onReceived(bytes: Uint8Array): void {
    try {
      this.handler.received(this, bytes);
    } catch (error) {
      this.#coreThrew(error);
    }
  }

  onEnded(): void {
    if (this.#sendFailure) return this.#close(this.#sendFailure);
    this.#notify("ended");
    this.#settle();
  }

  onWritable(): void {
    this.#notify("writable");
  }

  onFinished(): void {
    this.#settle();
  }

  onFailed(error: unknown): void {
    if (this.#phase === "closed") return;
    const failure = connectionFailure(error);
    // Unsent bytes would keep the descriptor open until the peer reads them.
    if (this.#output.isWriting && failure.code !== "ECONNRESET") descriptors.with(this, cut);
    else if (failure.fault) descriptors.with(this, (fd) => endInOrder(libc, fd));
    this.#close(this.#sendFailure ?? failure);
  }

  /** The kernel may hold what the peer sent before: an end after it is not an orderly one. */
  onSendFailed(error: unknown): void {
    if (this.#phase !== "open" || this.#input.hasEnded) return this.onFailed(error);
    this.#sendFailure ??= connectionFailure(error);
    this.#output.close();
  }

  /** Adds what the descriptor shows about a peer that left during the handshake. */
  #explained(failure: Failure, error: unknown): Failure {
    const found = descriptors.with(this, (fd) => {
      const { bytes } = received(libc, fd)!;
      if (failure.fault) endInOrder(libc, fd);
      return bytes;
    });
    if (failure.fault === "not-tls") {
      this.hold?.renew();
      return this.foreign ? { ...failure, received: this.foreign } : failure;
    }
    if (failure.fault || failure.code !== "ECONNRESET") return failure;
    // A socket that was reset has no peer to find it by. `HelloWatch` may have read the error.
    if (isUnexpectedEof(error) && found !== undefined) {
      return { ...failure, fault: found === 0 ? "left" : "closed" };
    }
    const isKnown = found !== undefined || this.hasReceived;
    return { ...failure, fault: isKnown ? "reset" : "early-reset" };
  }

  async #startTls(conn: Conn, { serverName, ca, alpn }: ClientTlsSettings): Promise<void> {
    let tlsConn: TlsConn;
    try {
      tlsConn = await Deno.startTls(conn, {
        hostname: serverName === "" ? (this.remote as IpEndpoint).address : serverName,
        caCerts: ca === "" ? [] : [ca],
        alpnProtocols: alpn,
      });
    } catch (error) {
      return this.#close(handshakeFailureOf(error));
    }
    if (this.#phase === "closed") return tlsConn[Symbol.dispose]();
    this.#conn = tlsConn;
    await this.handshake(tlsConn);
  }

  /** A method, since TypeScript assumes that a compared field is unchanged. */
  #isOpen(): boolean {
    return this.#phase === "open";
  }

  #settle(): void {
    if (this.#input.hasEnded && this.#output.hasFinished) this.#close(undefined);
  }

  #notify(event: "opened" | "writable" | "ended"): void {
    try {
      this.handler[event](this);
    } catch (error) {
      this.#coreThrew(error);
    }
  }

  #coreThrew(error: unknown): void {
    const failure = internalFailure(error);
    if (this.#phase === "closed") return;
    this.#failure ??= failure;
    this.reset();
  }

  #close(failure: Failure | undefined): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#failure ??= failure;
    this.#input.close();
    this.#output.close();
    this.#dialing?.abort();
    if (this.#conn) {
      descriptors.remove(this);
      this.#conn[Symbol.dispose]();
    }
    queueMicrotask(() => {
      try {
        this.handler.closed(this, this.#failure);
      } catch (error) {
        raise(error);
      }
    });
  }
}

const NO_FACTS: TlsFacts = {};
/** Milliseconds in which Deno's TLS passes on what it has taken once the kernel has room. */
const TLS_FLUSH_MS = 40;

function acknowledged(fd: number): boolean {
  return isAcknowledged(libc, fd);
}

function acknowledgedForLong(fd: number): boolean {
  return isAcknowledged(libc, fd, TLS_FLUSH_MS);
}

function hasSent(fd: number): boolean {
  return hasReceived(libc, fd);
}

/** After a reset was reported once, the kernel reports a broken pipe. */
function connectionFailure(error: unknown): Failure {
  const failure = failureOf(error);
  const { code, message } = failure;
  return /^(EPIPE|ENOTCONN|ECONNRESET)$/.test(code) ? { code: "ECONNRESET", message } : failure;
}

export function endpoint({ hostname, port }: NetAddr): IpEndpoint {
  return { family: hostname.includes(":") ? 6 : 4, address: hostname, port };
}
