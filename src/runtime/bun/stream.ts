import { raise } from "../../base/raise.ts";
import { ignoringHandler } from "../ignoring_handler.ts";
import { tlsFacts } from "../openssl.ts";
import { MAX_EARLY_BYTES, type Stream, type StreamHandler } from "../stream.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import { type Failure, internalFailure } from "../failure.ts";
import type { TlsFacts } from "../tls.ts";
import { failureOf, type ServerIdentity } from "./contexts.ts";
import { endpointIn, libc, socketName } from "./libc.ts";
import type { NativeError, NativeSocket } from "./native.ts";

/** What puts TLS on a stream that began without. */
export interface Encrypter {
  startTls(stream: BunStream, early: Uint8Array): void;
}

/** The queue of all streams that hold no byte, which is most of them. */
const NOTHING: Uint8Array[] = [];
Object.freeze(NOTHING);

export class BunStream implements Stream {
  handler: StreamHandler = ignoringHandler;
  native: NativeSocket | undefined;
  /** A `sockaddr`, kept because Bun forgets the peer when the socket closes. */
  readonly peer: Uint8Array;
  failure: Failure | undefined;
  /** Bytes which `write` took and the kernel did not: one chunk, seldom more. */
  queue = NOTHING;
  earlyBytes = 0;
  isOpen = false;
  isTls: boolean;
  isBlocked = false;
  isFinishing = false;
  hasEnded = false;
  isGivenUp = false;
  /** What the client is served with; undefined without TLS and towards a backend. */
  identity: ServerIdentity | undefined;
  /** Of a listener whose clients send a header first. */
  encrypter: Encrypter | undefined;
  /** The owner is not to hear of the end before its own call, or that of its maker, returns. */
  isHeld = false;

  constructor(native: NativeSocket | undefined, isTls: boolean, peer: Uint8Array) {
    this.native = native;
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
    return false;
  }

  pause(): void {
    this.native?.pause();
  }

  resume(): void {
    this.native?.resume();
  }

  finish(): void {
    if (this.isFinishing) return;
    this.isFinishing = true;
    if (this.isOpen && this.queue.length === 0) this.end();
  }

  close(): void {
    this.isGivenUp = true;
    this.native?.close();
  }

  reset(): void {
    this.isGivenUp = true;
    this.native?.terminate();
  }

  startTls(early: Uint8Array): void {
    if (this.native && !this.isTls) this.encrypter?.startTls(this, early);
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

  /** The connection stands: `handler` may use it. */
  opened(): void {
    this.isOpen = true;
    this.tell("opened");
  }

  /** As `opened`, for a stream that may hold bytes by now. */
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
      this.tell("writable");
    }
  }

  received(bytes: Uint8Array): void {
    try {
      this.handler.received(this, bytes);
    } catch (error) {
      this.abandon(error);
    }
  }

  /** The peer's end. */
  ended(): void {
    this.hasEnded = true;
    // Before that, `handshake` and `close` tell it.
    if (this.isOpen) this.tell("ended");
  }

  /** The core threw. */
  abandon(error: unknown): void {
    this.failure = internalFailure(error);
    this.native?.terminate();
  }

  /** Everything is out. After the peer's end, Bun alone would wait for one more event. */
  private end(): void {
    this.native?.shutdown();
    if (this.hasEnded) this.native?.close();
  }

  /** Tells the owner that the descriptor is gone. */
  gone(error: NativeError | undefined): void {
    this.native = undefined;
    // After our own FIN, Bun tells the peer's by `close` alone.
    const saidAll = this.isOpen && this.isFinishing && this.queue.length === 0;
    if (saidAll && !error && !this.failure && !this.hasEnded && !this.isGivenUp) {
      this.ended();
    }
    this.queue = NOTHING;
    if (this.isHeld) queueMicrotask(() => this.tellClosed(error));
    else this.tellClosed(error);
  }

  private tell(event: "opened" | "writable" | "ended"): void {
    try {
      this.handler[event](this);
    } catch (error) {
      this.abandon(error);
    }
  }

  private tellClosed(error: NativeError | undefined): void {
    try {
      this.handler.closed(this, this.closeReason(error));
    } catch (fault) {
      raise(fault);
    }
  }

  private closeReason(error: NativeError | undefined): Failure | undefined {
    if (this.isGivenUp) return undefined;
    if (this.failure) return this.failure;
    if (error) return failureOf(error);
    if (this.hasEnded && this.isFinishing) return undefined;
    return { code: "EPROTO", message: "the connection broke off" };
  }
}

/** What happens to every open stream. */
export const streamHandlers = {
  data(native: NativeSocket, bytes: Uint8Array) {
    native.data.received(bytes);
  },
  drain(native: NativeSocket) {
    // Bun also reports room around the handshake and the end, when nothing waits here.
    if (native.data.isOpen && native.data.queue.length > 0) native.data.flush();
  },
  end(native: NativeSocket) {
    native.data.ended();
  },
  close(native: NativeSocket, error: NativeError | undefined) {
    native.data.gone(error);
  },
  error(native: NativeSocket, error: Error) {
    native.data.abandon(error);
  },
};
