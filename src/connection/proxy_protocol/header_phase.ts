import { GrowingBuffer } from "../../base/growing_buffer.ts";
import type { StreamHandler } from "../../runtime/stream.ts";
import type { Stream } from "../../runtime/stream.ts";
import type { Failure } from "../../runtime/failure.ts";
import type { ConnectionFailure } from "../failure.ts";
import { type ProxyAddresses, readProxyHeader } from "./read_header.ts";

/** The connection that a client's stream belongs to once its PROXY header is read. */
export interface HeaderReceiver extends StreamHandler {
  /**
   * The whole header, which lasts, and the addresses that count instead of the real ones. Returns
   * why the client is not welcome; `headerFailed` follows then.
   */
  headerRead(
    header: Uint8Array,
    addresses: ProxyAddresses | undefined,
  ): ConnectionFailure | undefined;
  /** There will be no TLS: the connection ends the stream. */
  headerFailed(failure: ConnectionFailure): void;
}

/**
 * Owns a client's stream until the PROXY header before its TLS handshake is read, in pieces of any
 * size; then begins TLS with what was received after it. It holds less than the longest header and
 * one chunk.
 */
export class HeaderPhase implements StreamHandler {
  private readonly mode: "pass" | "use";
  private readonly receiver: HeaderReceiver;
  /** In room of our own, since a chunk does not outlast its event. */
  private readonly held = new GrowingBuffer();
  private hasFailed = false;

  /** From a peer that is not trusted nothing is read. */
  constructor(mode: "pass" | "use", receiver: HeaderReceiver, isTrusted: boolean) {
    this.mode = mode;
    this.receiver = receiver;
    if (isTrusted) return;
    this.hasFailed = true;
    // A stream cannot be ended while it is being accepted.
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
    this.receiver.closed(stream, failure);
  }

  // Before TLS begins, a stream has no other events than bytes and its end.
  opened(): void {}
  writable(): void {}
  ended(): void {}

  private fail(failure: ConnectionFailure): void {
    this.hasFailed = true;
    this.receiver.headerFailed(failure);
  }
}

const untrusted: ConnectionFailure = {
  source: "client",
  code: "untrusted-proxy",
  cause: "its address is not among --trusted-proxies",
};
