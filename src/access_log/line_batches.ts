import { type Clock, systemClock } from "../base/clock.ts";
import { MAX_LINE } from "./format.ts";

/** How long a line waits for others, in milliseconds. */
const FLUSH_MS = 100;
/** How soon a full pipe is tried again, in milliseconds. */
const RETRY_MS = 10;
/** Maximum number of batches that wait for a full pipe. */
const MAX_WAITING = 64;

/** Writes bytes without blocking: all of them, or none if there is no room. */
export type BatchSink = (bytes: Uint8Array) => boolean;

interface Batch {
  readonly bytes: Uint8Array;
  readonly lines: number;
}

/**
 * Writes a worker's lines to the pipe in batches of at most 4096 bytes, so that those of several
 * workers are not mixed. It never blocks: batches that a full pipe does not take wait in a bounded
 * queue, and those that do not fit there are dropped.
 */
export class LineBatches {
  private readonly sink: BatchSink;
  private readonly onDropped: (lines: number) => void;
  private readonly clock: Clock;
  private readonly encoder = new TextEncoder();
  private readonly buffer = new Uint8Array(MAX_LINE);
  private used = 0;
  private lines = 0;
  private readonly waiting: Batch[] = [];
  private isTimerSet = false;

  /** `onDropped` is called with the number of lines in each batch that was dropped. */
  constructor(
    sink: BatchSink,
    onDropped: (lines: number) => void,
    clock: Clock = systemClock,
  ) {
    this.sink = sink;
    this.onDropped = onDropped;
    this.clock = clock;
  }

  /** Adds a line without its newline, of less than {@link MAX_LINE} bytes. */
  add(line: string): void {
    const text = `${line}\n`;
    if (!this.append(text)) {
      this.finishBatch();
      if (!this.append(text)) return this.onDropped(1);
    }
    this.lines++;
    this.setTimer(FLUSH_MS);
  }

  /** Writes what the pipe takes now. */
  flush(): void {
    this.finishBatch();
    this.writeWaiting();
  }

  /** As `flush`, but what the pipe does not take is dropped: the process is about to exit. */
  end(): void {
    this.flush();
    for (const { lines } of this.waiting.splice(0)) this.onDropped(lines);
  }

  private append(text: string): boolean {
    const { read, written } = this.encoder.encodeInto(text, this.buffer.subarray(this.used));
    if (read < text.length) return false;
    this.used += written;
    return true;
  }

  private finishBatch(): void {
    if (this.lines === 0) return;
    const bytes = this.buffer.subarray(0, this.used);
    const { lines } = this;
    this.used = this.lines = 0;
    this.writeWaiting();
    if (this.waiting.length === 0 && this.sink(bytes)) return;
    if (this.waiting.length === MAX_WAITING) return this.onDropped(lines);
    this.waiting.push({ bytes: bytes.slice(), lines });
    this.setTimer(RETRY_MS);
  }

  private writeWaiting(): void {
    while (this.waiting.length > 0 && this.sink(this.waiting[0]!.bytes)) this.waiting.shift();
  }

  private setTimer(milliseconds: number): void {
    if (this.isTimerSet) return;
    this.isTimerSet = true;
    this.clock.after(milliseconds, () => {
      this.isTimerSet = false;
      this.flush();
      if (this.waiting.length > 0) this.setTimer(RETRY_MS);
    });
  }
}
