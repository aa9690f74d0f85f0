import { writeSync } from "node:fs";

const MAX_WAITING = 1024 * 1024;
/** Milliseconds until a full pipe is tried again. */
const RETRY_MS = 10;
/** The longest that the end of the process waits for a reader, in milliseconds. */
const FLUSH_LIMIT_MS = 500;

/**
 * Writes whole lines to a descriptor, in order. Node makes the pipe at standard error non-blocking:
 * what it does not take waits in a bounded queue, and what does not fit there, or is refused by a
 * full disk, is dropped and counted. A descriptor that blocks is waited for.
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
    let isTaken = false;
    while (this.waiting.length > 0) {
      const first = this.waiting[0]!;
      const written = this.tryWrite(first);
      if (written === "full") return this.retryLater();
      isTaken = written !== "refused";
      if (written === "refused") this.dropped++;
      const gone = written === "refused" ? first.length : written;
      this.waitingBytes -= gone;
      if (gone < first.length) this.waiting[0] = first.subarray(gone);
      else this.waiting.shift();
    }
    if (this.dropped === 0 || !isTaken) return;
    const { dropped } = this;
    this.dropped = 0;
    this.onDropped(dropped);
  }

  /** How many bytes were taken. A log that is closed or full must not stop the service. */
  private tryWrite(bytes: Buffer): number | "full" | "refused" {
    try {
      return writeSync(this.fd, bytes);
    } catch (error) {
      return (error as { code?: string }).code === "EAGAIN" ? "full" : "refused";
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
