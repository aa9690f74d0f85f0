import { GrowingBuffer } from "../../base/growing_buffer.ts";
import type { StreamHandler } from "../../runtime/stream.ts";
import type { Stream } from "../../runtime/stream.ts";
import type { Failure } from "../../runtime/failure.ts";
import type { ConnectionFailure } from "../failure.ts";
import { type ProxyAddresses, readProxyHeader } from "./read_header.ts";

/** The connection that handles a client's stream after its PROXY header. */
export interface HeaderReceiver extends StreamHandler {
  /**
   * Receives the whole header, which it may keep, and the addresses that replace the real ones.
   * Returns why the client is refused; `headerFailed` follows then.
   */
  headerRead(
    header: Uint8Array,
    addresses: ProxyAddresses | undefined,
  ): ConnectionFailure | undefined;
  /** TLS will not start: the connection resets the stream. */
  headerFailed(failure: ConnectionFailure): void;
}

/**
 * Handles a client's stream until the PROXY header before the TLS handshake is complete, in chunks
 * of any size; then starts TLS with the bytes after it. Buffers less than the longest header and
 * one chunk.
 */
export class HeaderPhase implements StreamHandler {
  private readonly mode: "pass" | "use";
  private readonly receiver: HeaderReceiver;
  /** A copy, since a chunk is valid only during its event. */
  private readonly held = new GrowingBuffer();
  private hasFailed = false;

  /** Nothing is read from a peer that is not trusted. */
  constructor(mode: "pass" | "use", receiver: HeaderReceiver, isTrusted: boolean) {
    this.mode = mode;
    this.receiver = receiver;
    if (isTrusted) return;
    this.hasFailed = true;
    // A stream cannot be reset while it is being accepted.
    queueMicrotask(() => receiver.headerFailed(untrusted));
  }

  received(stream: Stream, chunk: Uint8Array): void {
    if (this.hasFailed) return;
    const bytes = this.held.add(chunk);
    const result = readProxyHeader(bytes, this.mode);
    if (result === "more") return;
    if ("fault" in result) {
      const cause = `the PROXY header ${result.fault}`;
      return this.fail({ source: "client", code: "proxy-header", cause });
    }
    const { length, addresses } = result;
    const refusal = this.receiver.headerRead(bytes.slice(0, length), addresses);
    if (refusal) return this.fail(refusal);
    stream.handler = this.receiver;
    stream.startTls(bytes.subarray(length));
  }

  closed(stream: Stream, failure: Failure | undefined): void {
    this.receiver.closed(stream, failure && this.explained(failure));
  }

  // Before TLS starts, a stream has no events but `received` and `closed`.
  opened(): void {}
  writable(): void {}
  ended(): void {}

  /** Adds what is known about a client that TLS has not yet read from. */
  private explained(failure: Failure): Failure {
    const isSilent = this.held.bytes.length === 0;
    const fin = isSilent ? "left" : "closed";
    const rst = isSilent ? "early-reset" : "reset";
    if (failure.code === "ERR_INTERNAL") return failure;
    return {
      ...failure,
      fault: failure.fault === "closed" || failure.fault === "left" ? fin : rst,
    };
  }

  private fail(failure: ConnectionFailure): void {
    this.hasFailed = true;
    this.receiver.headerFailed(failure);
  }
}

const untrusted: ConnectionFailure = {
  source: "client",
  code: "untrusted-proxy",
  cause: "its address is not in --trusted-proxies",
};
