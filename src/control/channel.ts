/**
 * The control channel between master and worker: frames of a 4-byte big-endian length and JSON.
 * Down it is the worker's standard input, up the worker's descriptor 3. Its end means that the
 * other side is gone.
 */
import { write } from "node:fs";

/** The descriptor on which a child process writes to the master. */
export const EVENTS_FD = 3;

/** The largest frame to a worker: certificates travel in it. */
export const MAX_FRAME_DOWN = 64 * 1024 * 1024;
/** The largest frame to the master, which trusts no worker. */
export const MAX_FRAME_UP = 64 * 1024;

const HEADER = 4;

/** One message as a frame. */
export function frame(message: unknown): Uint8Array {
  const body = Buffer.from(JSON.stringify(message));
  const bytes = Buffer.allocUnsafe(HEADER + body.length);
  bytes.writeUInt32BE(body.length);
  body.copy(bytes, HEADER);
  return bytes;
}

/** Cuts a byte stream into messages. */
export class FrameReader {
  private readonly limit: number;
  private readonly message: (value: unknown) => void;
  private chunks: Uint8Array[] = [];
  private available = 0;
  /** Bytes of the frame in progress, its header included; 0 while the header is incomplete. */
  private expected = 0;

  constructor(limit: number, message: (value: unknown) => void) {
    this.limit = limit;
    this.message = message;
  }

  /** Throws an Error when a frame is larger than the limit or not JSON: the channel is unusable. */
  push(bytes: Uint8Array): void {
    this.chunks.push(bytes);
    this.available += bytes.length;
    while (this.nextFrameIsComplete()) {
      const whole = this.joined();
      const rest = whole.subarray(this.expected);
      const body = whole.toString("utf8", HEADER, this.expected);
      this.chunks = rest.length > 0 ? [rest] : [];
      this.available = rest.length;
      this.expected = 0;
      this.message(JSON.parse(body));
    }
  }

  private nextFrameIsComplete(): boolean {
    if (this.expected === 0) {
      if (this.available < HEADER) return false;
      const length = this.joined().readUInt32BE();
      if (length > this.limit) throw new Error(`a control frame of ${length} bytes`);
      this.expected = HEADER + length;
    }
    return this.available >= this.expected;
  }

  private joined(): Buffer {
    const [first] = this.chunks;
    if (this.chunks.length === 1 && Buffer.isBuffer(first)) return first;
    const whole = Buffer.concat(this.chunks);
    this.chunks = [whole];
    return whole;
  }
}

/**
 * The worker's way up. It never blocks the event loop: one write is under way in the thread pool,
 * the rest waits in a bounded queue, and what does not fit is counted and told later.
 */
export class FrameWriter {
  private readonly fd: number;
  private readonly maxQueued: number;
  private queue: Uint8Array[] = [];
  private queuedBytes = 0;
  private isWriting = false;
  /** Messages that were dropped since the count was last taken. */
  private dropped = 0;
  private emptied: (() => void) | undefined;

  constructor(fd: number, maxQueued = 1024 * 1024) {
    this.fd = fd;
    this.maxQueued = maxQueued;
  }

  /** False when the message was dropped because the master does not keep up. */
  send(message: unknown): boolean {
    const bytes = frame(message);
    const fits = bytes.length <= HEADER + MAX_FRAME_UP &&
      this.queuedBytes + bytes.length <= this.maxQueued;
    if (!fits) {
      this.dropped++;
      return false;
    }
    this.enqueue(bytes);
    return true;
  }

  /** How many messages were dropped since the last call. */
  takeDropped(): number {
    const { dropped } = this;
    this.dropped = 0;
    return dropped;
  }

  /** Calls back once everything is out. */
  flush(emptied: () => void): void {
    this.emptied = emptied;
    if (!this.isWriting) emptied();
  }

  private enqueue(bytes: Uint8Array): void {
    this.queue.push(bytes);
    this.queuedBytes += bytes.length;
    if (!this.isWriting) this.writeNext();
  }

  private writeNext(): void {
    const bytes = this.queue[0];
    this.isWriting = bytes !== undefined;
    if (!bytes) return this.emptied?.();
    write(this.fd, bytes, (error, written) => {
      // The master is gone; the end of standard input tells the worker so.
      if (error) return;
      this.queuedBytes -= written;
      if (written < bytes.length) this.queue[0] = bytes.subarray(written);
      else this.queue.shift();
      this.writeNext();
    });
  }
}
