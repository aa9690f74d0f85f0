/** What a stream sends: all that is written is taken, and goes out as the kernel has room. */
import { MSG_DONTWAIT, MSG_NOSIGNAL } from "../../os/constants.ts";
import { MAX_EARLY_BYTES } from "../stream.ts";
import { type Conn, libc, writeFrom } from "./api.ts";
import { Collector } from "./buffers.ts";
import { descriptors, type Hidden } from "./descriptors.ts";

export interface Sender extends Hidden {
  /** Everything taken is with the kernel, after `write` had answered false. */
  onWritable(): void;
  /** The end was sent, after all the bytes. */
  onFinished(): void;
  broke(error: unknown): void;
}

const SEARCH_AT_WRITE = 2;

/** The writable half of a stream. */
export class Output {
  readonly #sender: Sender;
  readonly #isPlain: boolean;
  /** Set while the stream is open. */
  #conn: Conn | undefined = undefined;
  #closed = false;
  readonly #queue: Uint8Array[] = [];
  /** How many bytes of the first of the queue are with the kernel. */
  #sent = 0;
  /** Bytes that `write` took before the stream was open. */
  #early = 0;
  #gathered: Collector | undefined = undefined;
  /** `write` has answered false, and `onWritable` is due. */
  #stopped = false;
  /** Writes that met nothing on its way before them. */
  #writes = 0;
  /** A write or the final `closeWrite` is on its way, or the output has ended. */
  #pushing = false;
  #finishing = false;
  #finished = false;

  constructor(sender: Sender, isPlain: boolean) {
    this.#sender = sender;
    this.#isPlain = isPlain;
  }

  get isWriting(): boolean {
    return this.#pushing && !this.#finished;
  }

  get hasFinished(): boolean {
    return this.#finished;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#closed || this.#finishing) return true;
    if (!this.#conn) return this.#writeEarly(bytes);
    if (bytes.length === 0) return !this.#stopped;
    if (this.#isPlain && this.#sendNow(bytes)) return true;
    this.#queue.push(bytes);
    this.#stopped = true;
    this.push();
    return false;
  }

  finish(): void {
    if (this.#closed || this.#finishing) return;
    this.#finishing = true;
    this.push();
  }

  /** What waited becomes the first write; `push` begins it. */
  open(conn: Conn): void {
    this.#conn = conn;
    if (this.#gathered) this.#queue.unshift(this.#gathered.all());
    this.#gathered = undefined;
  }

  /** Drops what waits. */
  close(): void {
    this.#closed = true;
    this.#conn = undefined;
    this.#queue.length = 0;
  }

  /** Starts what has to happen next. */
  push(): void {
    if (!this.#conn || this.#pushing) return;
    if (this.#queue.length > 0) this.#drain(this.#conn);
    else if (this.#finishing) void this.#shut(this.#conn);
  }

  /** What comes before the stream is open becomes one write. */
  #writeEarly(bytes: Uint8Array): boolean {
    this.#early += bytes.length;
    if (this.#early > MAX_EARLY_BYTES) {
      // Nothing may overtake it, not even what would fit.
      this.#early = Infinity;
      this.#queue.push(bytes);
      this.#stopped = true;
      return false;
    }
    this.#gathered ??= new Collector();
    this.#gathered.add(bytes);
    return true;
  }

  /** Tries without a promise. False leaves the rest, or the error, to the other way. */
  #sendNow(bytes: Uint8Array): boolean {
    if (this.#pushing || this.#queue.length > 0) return false;
    this.#writes++;
    const sender = this.#sender;
    if (sender.fd === -1) {
      // To find the descriptor costs more than it saves a stream that is written to once.
      if (this.#writes !== SEARCH_AT_WRITE || !descriptors.find(sender)) return false;
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
    if (this.#stopped) {
      this.#stopped = false;
      this.#sender.onWritable();
    }
    this.push();
  };

  readonly #onWriteFailed = (error: unknown): void => this.#sender.broke(error);

  async #shut(conn: Conn): Promise<void> {
    this.#pushing = true;
    try {
      await conn.closeWrite();
    } catch (error) {
      return this.#sender.broke(error);
    }
    this.#finished = true;
    this.#sender.onFinished();
  }
}
