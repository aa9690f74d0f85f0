/**
 * Times and sizes of one connection, for the histograms and the access log. Times are in milliseconds; absent: it did not come to that.
 */
export class Measured {
  /** From the accept to the end of the client's handshake. */
  handshakeMs: number | undefined;
  /** Of the connect to the backend, with its handshake if it makes one. */
  connectMs: number | undefined;
  /** From the accept to the close of the last side. */
  totalMs: number | undefined;
  /** Plain bytes from the client. */
  received = 0;
  /** Plain bytes to the client. */
  sent = 0;
  private readonly startedAt: number;
  private connectingAt = 0;

  /** `now` is a monotonic time in milliseconds, as of all calls. */
  constructor(now: number) {
    this.startedAt = now;
  }

  handshakeDone(now: number): number {
    return this.handshakeMs = now - this.startedAt;
  }

  connecting(now: number): void {
    this.connectingAt = now;
  }

  connected(now: number): number {
    return this.connectMs = now - this.connectingAt;
  }

  /** The time since the accept. */
  elapsedMs(now: number): number {
    return now - this.startedAt;
  }

  closed(now: number): void {
    this.totalMs = now - this.startedAt;
  }
}
