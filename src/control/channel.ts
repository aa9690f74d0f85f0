/**
 * The control channel between the master and a child process: frames of a 4-byte big-endian length
 * and JSON. Commands go down on the child's standard input, events up on its descriptor 3. The end
 * of a stream means that the other side has exited.
 */
import { GrowingBuffer } from "../base/growing_buffer.ts";

/** The descriptor on which a child process writes to the master. */
export const EVENTS_FD = 3;

/** The largest frame to a child process, in bytes: certificates travel in it. */
export const MAX_FRAME_DOWN = 64 * 1024 * 1024;
/** The largest frame to the master, in bytes; the master trusts no child process. */
export const MAX_FRAME_UP = 64 * 1024;

/** Size of a frame's header, in bytes. */
export const HEADER = 4;

/** Returns one message as a frame. */
export function frame(message: unknown): Uint8Array {
  const body = Buffer.from(JSON.stringify(message));
  const bytes = Buffer.allocUnsafe(HEADER + body.length);
  bytes.writeUInt32BE(body.length);
  body.copy(bytes, HEADER);
  return bytes;
}

/** A byte stream violates the control protocol. The message is a noun phrase with the reason. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/** Parses and handles the messages of a {@link FrameReader}. */
export interface FrameHandler<Message> {
  /** Validates a decoded frame; undefined refuses it. */
  parse(value: unknown): Message | undefined;
  handle(message: Message): void;
  /** `handle` threw: an internal error, which affects only that message. */
  internalError(error: unknown): void;
}

/** Splits a byte stream into messages. It buffers at most one frame and one chunk. */
export class FrameReader<Message> {
  private readonly limit: number;
  private readonly handler: FrameHandler<Message>;
  private readonly held = new GrowingBuffer();
  /** Bytes of `held` whose messages have been decoded. */
  private decoded = 0;
  private isBroken = false;

  /** `limit` is the largest body of a frame, in bytes. */
  constructor(limit: number, handler: FrameHandler<Message>) {
    this.limit = limit;
    this.handler = handler;
  }

  /**
   * Handles all complete messages. Throws a ProtocolError once, for a frame that is too large, is not
   * JSON or is refused by `parse`; everything after it is ignored.
   */
  push(bytes: Uint8Array): void {
    if (this.isBroken) return;
    this.held.add(bytes);
    for (;;) {
      const message = this.decodeNext();
      if (message === undefined) break;
      try {
        this.handler.handle(message);
      } catch (error) {
        this.handler.internalError(error);
      }
    }
    if (this.decoded === 0) return;
    this.held.drop(this.decoded);
    this.decoded = 0;
  }

  /** Returns the next message, or undefined while it is incomplete. Throws a ProtocolError. */
  private decodeNext(): Message | undefined {
    try {
      const body = this.nextBody();
      return body === undefined ? undefined : this.decode(body);
    } catch (error) {
      this.isBroken = true;
      this.held.drop(Infinity);
      throw error;
    }
  }

  private decode(body: string): Message {
    let value: unknown;
    try {
      value = JSON.parse(body);
    } catch {
      throw new ProtocolError("a frame that is not JSON");
    }
    const message = this.handler.parse(value);
    if (message === undefined) throw new ProtocolError(describeRefused(value));
    return message;
  }

  private nextBody(): string | undefined {
    const { buffer, byteOffset, length } = this.held.bytes.subarray(this.decoded);
    if (length < HEADER) return undefined;
    const bytes = Buffer.from(buffer, byteOffset, length);
    const end = HEADER + bytes.readUInt32BE();
    if (end > HEADER + this.limit) {
      throw new ProtocolError(`a frame of ${end - HEADER} bytes, more than ${this.limit}`);
    }
    if (length < end) return undefined;
    this.decoded += end;
    return bytes.toString("utf8", HEADER, end);
  }
}

/** Names a refused message by its type only: the rest may contain a secret. */
function describeRefused(value: unknown): string {
  const type = typeof value === "object" && value !== null && "type" in value
    ? value.type
    : undefined;
  const name = typeof type === "string" ? `"${type.slice(0, 40)}"` : "without a type";
  return `a malformed or unknown message ${name}`;
}
