import { type Clock, systemClock } from "../base/clock.ts";
import type { Output } from "./output.ts";

/** Maximum size of the queue, in bytes. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** Milliseconds until a full output is tried again. */
const RETRY_MS = 10;
/** How long the exit of the process, or the close of a file, waits for a reader, in milliseconds. */
const FLUSH_LIMIT_MS = 500;

const NEWLINE = Buffer.from("\n");

/**
 * Writes whole lines to an output, in order, and never blocks. Lines that a full output does not
 * accept wait in a bounded queue; those that do not fit there, or are refused, are lost and counted.
 */
export class LineWriter {
  /** Called with the number of lost lines once the output accepts all lines again. */
  onLost: (lines: number) => void = () => {};
  private readonly output: Output;
  private readonly clock: Clock;
  private readonly waiting: Buffer[] = [];
  private waitingBytes = 0;
  private lost = 0;
  /** A part of the first waiting line has been written. */
  private isBegun = false;
  /** The output ends in an incomplete line whose rest was refused. */
  private isTorn = false;
  private isRetrying = false;
  private state: "open" | "closing" | "closed" = "open";
  private readonly flushed: (() => void)[] = [];

  /** The writer takes ownership of the output, and closes it after the last attempt to write. */
  constructor(output: Output, clock: Clock = systemClock) {
    this.output = output;
    this.clock = clock;
  }

  write(line: string): void {
    const bytes = Buffer.from(`${line}\n`);
    if (this.state !== "open" || this.waitingBytes + bytes.length > MAX_WAITING_BYTES) {
      this.lost++;
      return;
    }
    this.waiting.push(bytes);
    this.waitingBytes += bytes.length;
    if (!this.isRetrying) this.writeWaiting();
  }

  /** Counts lines that another writer lost, to report them with its own. */
  addLost(lines: number): void {
    this.lost += lines;
  }

  /** Fulfilled when no line is waiting, or after half a second. */
  flush(): Promise<void> {
    if (this.waiting.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.flushed.push(resolve);
      this.clock.after(FLUSH_LIMIT_MS, resolve);
    });
  }

  /**
   * Accepts no more lines, and closes the output after the last waiting line or after half a second.
   * Then fulfilled with the number of lost lines that were not reported.
   */
  async close(): Promise<number> {
    if (this.state === "open") this.state = "closing";
    await this.flush();
    return this.abandon();
  }

  /** Drops the waiting lines and closes the output. Returns the same number as {@link close}. */
  abandon(): number {
    if (this.state !== "closed") this.output.close();
    this.state = "closed";
    const lost = this.lost + this.waiting.length;
    this.lost = 0;
    this.waiting.length = 0;
    this.waitingBytes = 0;
    this.emptied();
    return lost;
  }

  private writeWaiting(): void {
    let isTaken = false;
    while (this.waiting.length > 0) {
      const written = this.tryWrite(this.waiting[0]!);
      if (written === "full") return this.retryLater();
      isTaken = written !== "refused";
      if (written === "refused") this.refused();
      else this.taken(written);
    }
    this.emptied();
    if (this.lost === 0 || !isTaken) return;
    const { lost } = this;
    this.lost = 0;
    this.onLost(lost);
  }

  private tryWrite(bytes: Buffer): ReturnType<Output["write"]> {
    if (this.isTorn) {
      const written = this.output.write(NEWLINE);
      if (typeof written === "string") return written;
      this.isTorn = false;
    }
    return this.output.write(bytes);
  }

  private taken(bytes: number): void {
    const first = this.waiting[0]!;
    this.waitingBytes -= bytes;
    this.isBegun = bytes < first.length;
    if (this.isBegun) this.waiting[0] = first.subarray(bytes);
    else this.waiting.shift();
  }

  private refused(): void {
    this.lost++;
    this.isTorn ||= this.isBegun;
    this.isBegun = false;
    this.waitingBytes -= this.waiting.shift()!.length;
  }

  private retryLater(): void {
    this.isRetrying = true;
    this.clock.after(RETRY_MS, () => {
      this.isRetrying = false;
      this.writeWaiting();
    });
  }

  private emptied(): void {
    for (const done of this.flushed.splice(0)) done();
  }
}
