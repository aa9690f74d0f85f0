import type { Failure, Stream, StreamOwner } from "../runtime/types.ts";
import type { ConnectionFailure } from "./failure.ts";
import { type ProxyAddresses, readProxyHeader } from "./proxy_header.ts";

/** The connection that a client's stream belongs to once its PROXY header is read. */
export interface HeaderTaker extends StreamOwner {
  /** The whole header, which lasts, and the addresses that count instead of the real ones. */
  headerRead(header: Uint8Array, addresses: ProxyAddresses | undefined): void;
  /** No header will be read: the connection ends the stream. */
  headerFailed(failure: ConnectionFailure): void;
}

/**
 * Owns a client's stream until the PROXY header before its TLS handshake is read, in pieces of any
 * size; then begins TLS with what was received after it. It holds less than the longest header and
 * one chunk.
 */
export class HeaderPhase implements StreamOwner {
  private readonly mode: "pass" | "use";
  private readonly taker: HeaderTaker;
  private buffer = new Uint8Array();
  private length = 0;
  private hasFailed = false;

  /** From a peer that is not trusted nothing is read. */
  constructor(mode: "pass" | "use", taker: HeaderTaker, isTrusted: boolean) {
    this.mode = mode;
    this.taker = taker;
    if (isTrusted) return;
    this.hasFailed = true;
    // A stream cannot be ended while it is being accepted.
    queueMicrotask(() => taker.headerFailed(untrusted));
  }

  received(stream: Stream, chunk: Uint8Array): void {
    if (this.hasFailed) return;
    const bytes = this.append(chunk);
    const verdict = readProxyHeader(bytes, this.mode);
    if (verdict === "more") return;
    if ("fault" in verdict) {
      this.hasFailed = true;
      const cause = `the PROXY header ${verdict.fault}`;
      this.taker.headerFailed({ source: "client", code: "proxy-header", cause });
      return;
    }
    const { length, addresses } = verdict;
    this.taker.headerRead(bytes.slice(0, length), addresses);
    stream.owner = this.taker;
    stream.secure(bytes.subarray(length));
  }

  closed(stream: Stream, failure: Failure | undefined): void {
    this.taker.closed(stream, failure);
  }

  // Before TLS begins, a stream has no other events than bytes and its end.
  opened(): void {}
  writable(): void {}
  ended(): void {}

  /** All bytes so far, in room of our own: a chunk does not outlast its event. */
  private append(chunk: Uint8Array): Uint8Array {
    const length = this.length + chunk.length;
    if (length > this.buffer.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.buffer.length));
      larger.set(this.buffer.subarray(0, this.length));
      this.buffer = larger;
    }
    this.buffer.set(chunk, this.length);
    this.length = length;
    return this.buffer.subarray(0, length);
  }
}

const untrusted: ConnectionFailure = {
  source: "client",
  code: "untrusted-proxy",
  cause: "its address is not among --trusted-proxies",
};
