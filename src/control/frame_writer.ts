import { type Clock, systemClock } from "../base/clock.ts";
import { EAGAIN, MSG_DONTWAIT, MSG_NOSIGNAL, SO_SNDBUF, SOL_SOCKET } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import { cInt } from "../os/structures.ts";
import { EVENTS_FD, frame, HEADER, MAX_FRAME_UP } from "./channel.ts";

/** Maximum size of each of the two queues, in bytes. */
const MAX_QUEUED = 1024 * 1024;
/** Milliseconds until a full socket is tried again. */
const RETRY_MS = 10;
/**
 * Buffer for what the master has not read yet, in bytes: log entries in it are ahead of every answer.
 * The kernel doubles the number, and counts its own overhead for each frame.
 */
const SOCKET_BUFFER = 16 * 1024;

/** Writes bytes of frames. Returns the number of bytes accepted, 0 while it is full. */
export type FrameSink = (bytes: Uint8Array) => number;

/** Returns the writer of this process's events to the master. */
export function eventWriter(libc: Libc): FrameWriter {
  const size = cInt(SOCKET_BUFFER);
  libc.setsockopt(EVENTS_FD, SOL_SOCKET, SO_SNDBUF, size, size.length);
  return new FrameWriter((bytes) => {
    // A write of node:fs would block a thread while the master does not read, and on Deno the event
    // loop.
    const taken = libc.send(EVENTS_FD, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (taken >= 0) return taken;
    // Otherwise the master has exited, which the end of standard input reports: nobody reads this.
    return libc.errno() === EAGAIN ? 0 : bytes.length;
  });
}

/**
 * Writes a child process's messages to the master. It never blocks: what the socket does not accept
 * waits in two bounded queues. Log entries wait behind everything else, so that a slow log delays no
 * answer.
 */
export class FrameWriter {
  private readonly sink: FrameSink;
  private readonly clock: Clock;
  private readonly answers: FrameQueue;
  private readonly logs: FrameQueue;
  /** The rest of a partially written frame. */
  private rest: Uint8Array | undefined;
  private isRetrying = false;
  private droppedLogs = 0;
  private flushed: (() => void) | undefined;

  /** `maxQueued` limits each of the two queues, in bytes. */
  constructor(sink: FrameSink, { maxQueued = MAX_QUEUED, clock = systemClock } = {}) {
    this.sink = sink;
    this.clock = clock;
    this.answers = new FrameQueue(maxQueued);
    this.logs = new FrameQueue(maxQueued);
  }

  /**
   * Sends what the master waits for, ahead of all log entries. Returns false if the message was
   * dropped because it is too large or the master has not read for long.
   */
  send(message: unknown): boolean {
    return this.add(this.answers, message, 1);
  }

  /** As `send`, for messages that may be dropped: half of the queue is reserved for the others. */
  offer(message: unknown): boolean {
    return this.add(this.answers, message, 0.5);
  }

  /**
   * Sends a log entry when nothing else waits. Entries that do not fit are dropped and counted:
   * `build` is called with the number of entries dropped before this one. Returns false if this one
   * was dropped.
   */
  sendLog(build: (dropped: number) => unknown): boolean {
    const isQueued = this.add(this.logs, build(this.droppedLogs), 1);
    this.droppedLogs = isQueued ? 0 : this.droppedLogs + 1;
    return isQueued;
  }

  /** Calls back once everything is written. */
  flush(flushed: () => void): void {
    this.flushed = flushed;
    if (!this.isRetrying) flushed();
  }

  /** `part` of the queue, at most 1, is available to this message. */
  private add(queue: FrameQueue, message: unknown, part: number): boolean {
    const bytes = frame(message);
    if (bytes.length > HEADER + MAX_FRAME_UP || !queue.add(bytes, part)) return false;
    if (!this.isRetrying) this.write();
    return true;
  }

  private write(): void {
    for (;;) {
      const bytes = this.rest ?? this.answers.take() ?? this.logs.take();
      if (!bytes) return this.flushed?.();
      const taken = this.sink(bytes);
      this.rest = taken < bytes.length ? bytes.subarray(taken) : undefined;
      if (this.rest) return this.retry();
    }
  }

  private retry(): void {
    this.isRetrying = true;
    this.clock.after(RETRY_MS, () => {
      this.isRetrying = false;
      this.write();
    });
  }
}

/** Frames that wait to be written, bounded by their bytes. */
class FrameQueue {
  private readonly limit: number;
  private readonly frames: Uint8Array[] = [];
  private bytes = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Returns false if the frame does not fit into this part of the queue. */
  add(bytes: Uint8Array, part: number): boolean {
    if (this.bytes + bytes.length > this.limit * part) return false;
    this.frames.push(bytes);
    this.bytes += bytes.length;
    return true;
  }

  take(): Uint8Array | undefined {
    const bytes = this.frames.shift();
    if (bytes) this.bytes -= bytes.length;
    return bytes;
  }
}
