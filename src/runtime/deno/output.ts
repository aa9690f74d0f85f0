/** The sending half of a stream: accepts all writes, and sends them as the kernel has room. */
import { MSG_DONTWAIT, MSG_NOSIGNAL } from "../../os/constants.ts";
import { finishOnClose, resetOnClose } from "../../os/reset_on_close.ts";
import { MAX_EARLY_BYTES } from "../stream.ts";
import { type Conn, libc, writeFrom } from "./api.ts";
import { Collector } from "./buffers.ts";
import { descriptors, type HiddenSocket } from "./descriptors.ts";

export interface Sender extends HiddenSocket {
  /** Everything written is with the kernel, after `write` returned false. */
  onWritable(): void;
  /** FIN was sent, after all bytes. */
  onFinished(): void;
  onSendFailed(error: unknown): void;
}

/** Finding the descriptor costs more than it saves a stream that is written to only once. */
const SEARCH_AT_WRITE = 2;

/** Writes to a connection: plain bytes at once if possible, others through promises. */
export class Output {
  readonly #sender: Sender;
  readonly #isPlain: boolean;
  readonly #isToBackend: boolean;
  /** Set while the stream is open. */
  #conn: Conn | undefined = undefined;
  #closed = false;
  readonly #queue: Uint8Array[] = [];
  /** Number of bytes of the queue's first chunk that are with the kernel. */
  #sent = 0;
  /** Number of bytes written before the stream was open. */
  #early = 0;
  #collected: Collector | undefined = undefined;
  /** `write` has returned false, and `onWritable` is due. */
  #blocked = false;
  /** Number of plain writes with nothing queued before them. */
  #writes = 0;
  /** A write or the final `closeWrite` is pending, or the output has ended. */
  #pushing = false;
  #finishing = false;
  #finished = false;

  /** With `isToBackend`, a socket whose descriptor is known closes with RST until our FIN. */
  constructor(sender: Sender, isPlain: boolean, isToBackend: boolean) {
    this.#sender = sender;
    this.#isPlain = isPlain;
    this.#isToBackend = isToBackend;
  }

  get isWriting(): boolean {
    return this.#pushing && !this.#finished;
  }

  /** Bytes or the end are not yet with the kernel, or with TLS. */
  get isPending(): boolean {
    return this.isWriting || this.#queue.length > 0;
  }

  get hasFinished(): boolean {
    return this.#finished;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#closed || this.#finishing) return true;
    if (!this.#conn) return this.#writeEarly(bytes);
    if (bytes.length === 0) return !this.#blocked;
    if (this.#isPlain && this.#sendNow(bytes)) return true;
    this.#queue.push(bytes);
    this.#blocked = true;
    this.push();
    return false;
  }

  finish(): void {
    if (this.#closed || this.#finishing) return;
    this.#finishing = true;
    this.push();
  }

  /** Queues the early bytes as the first write; `push` starts it. */
  open(conn: Conn): void {
    this.#conn = conn;
    if (this.#collected) this.#queue.unshift(this.#collected.all());
    this.#collected = undefined;
  }

  /** Drops what is queued. */
  close(): void {
    this.#closed = true;
    this.#conn = undefined;
    this.#queue.length = 0;
  }

  /** Starts the next write, or the half-close. */
  push(): void {
    if (!this.#conn || this.#pushing) return;
    if (this.#queue.length > 0) this.#drain(this.#conn);
    else if (this.#finishing) void this.#shut(this.#conn);
  }

  /** Collects bytes into one write until the stream is open. */
  #writeEarly(bytes: Uint8Array): boolean {
    this.#early += bytes.length;
    if (this.#early > MAX_EARLY_BYTES) {
      // Later bytes must not overtake these, even if they would fit.
      this.#early = Infinity;
      this.#queue.push(bytes);
      this.#blocked = true;
      return false;
    }
    this.#collected ??= new Collector();
    this.#collected.add(bytes);
    return true;
  }

  /** Sends without a promise. False: `writeFrom` must send the rest, or report the error. */
  #sendNow(bytes: Uint8Array): boolean {
    if (this.#pushing || this.#queue.length > 0) return false;
    this.#writes++;
    const sender = this.#sender;
    if (sender.fd === -1) {
      if (this.#writes !== SEARCH_AT_WRITE || !descriptors.find(sender)) return false;
      if (this.#isToBackend) resetOnClose(libc, sender.fd);
    }
    const sent = libc.send(sender.fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent === bytes.length) return true;
    this.#sent = Math.max(0, sent);
    return false;
  }

  #drain(conn: Conn): void {
    this.#pushing = true;
    const [first] = this.#queue;
    const rest = this.#sent === 0 ? first! : first!.subarray(this.#sent);
    writeFrom(conn, rest).then(this.#onWritten, this.#onWriteFailed);
  }

  readonly #onWritten = (count: number): void => {
    if (!this.#conn) return;
    this.#sent += count;
    if (this.#sent === this.#queue[0]!.length) {
      this.#queue.shift();
      this.#sent = 0;
    }
    if (this.#queue.length > 0) return this.#drain(this.#conn);
    this.#pushing = false;
    if (this.#blocked) {
      this.#blocked = false;
      this.#sender.onWritable();
    }
    this.push();
  };

  readonly #onWriteFailed = (error: unknown): void => this.#sender.onSendFailed(error);

  async #shut(conn: Conn): Promise<void> {
    this.#pushing = true;
    if (this.#isToBackend && this.#sender.fd !== -1) finishOnClose(libc, this.#sender.fd);
    try {
      await conn.closeWrite();
    } catch (error) {
      return this.#sender.onSendFailed(error);
    }
    this.#finished = true;
    this.#sender.onFinished();
  }
}
