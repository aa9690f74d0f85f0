import { writeSync } from "node:fs";

const MAX_WAITING = 1024 * 1024;
/** Milliseconds until a full pipe is tried again. */
const RETRY_MS = 10;
/** The longest that the end of the process waits for a reader, in milliseconds. */
const FLUSH_LIMIT_MS = 500;

/**
 * Writes whole lines to a descriptor, in order. Node makes the pipe at standard error non-blocking:
 * what it does not take waits in a bounded queue, and what does not fit there is dropped and
 * counted. A descriptor that blocks is waited for.
 */
export class LineWriter {
  /** Told how many lines were dropped, once there is room again. */
  onDropped: (lines: number) => void = () => {};
  private readonly fd: number;
  private waiting: Buffer[] = [];
  private waitingBytes = 0;
  private dropped = 0;
  private isRetrying = false;

  constructor(fd: number) {
    this.fd = fd;
  }

  write(line: string): void {
    const bytes = Buffer.from(`${line}\n`);
    if (this.waitingBytes + bytes.length > MAX_WAITING) {
      this.dropped++;
      return;
    }
    this.waiting.push(bytes);
    this.waitingBytes += bytes.length;
    if (!this.isRetrying) this.writeWaiting();
  }

  /** Fulfilled when nothing waits any more, or after half a second. */
  async flush(): Promise<void> {
    const deadline = performance.now() + FLUSH_LIMIT_MS;
    while (this.waiting.length > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  private writeWaiting(): void {
    while (this.waiting.length > 0) {
      const written = this.tryWrite(this.waiting[0]!);
      if (written === undefined) return this.retryLater();
      this.waitingBytes -= written;
      const rest = this.waiting[0]!.subarray(written);
      if (rest.length > 0) this.waiting[0] = rest;
      else this.waiting.shift();
    }
    if (this.dropped === 0) return;
    const { dropped } = this;
    this.dropped = 0;
    this.onDropped(dropped);
  }

  /** How many bytes were taken; undefined when the pipe is full. */
  private tryWrite(bytes: Buffer): number | undefined {
    try {
      return writeSync(this.fd, bytes);
    } catch (error) {
      if ((error as { code?: string }).code === "EAGAIN") return undefined;
      // A closed log must not stop the service; there is no other place to tell it.
      return bytes.length;
    }
  }

  private retryLater(): void {
    this.isRetrying = true;
    setTimeout(() => {
      this.isRetrying = false;
      this.writeWaiting();
    }, RETRY_MS);
  }
}
