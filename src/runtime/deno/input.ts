/** The receiving half of a stream: turns reads, which return promises, into calls. */
import { type Conn, readInto } from "./api.ts";
import { plainSizes, ReadBuffer, tlsSizes } from "./buffers.ts";
import { isUnexpectedEof } from "./failures.ts";

export interface Receiver {
  /** Must not throw. */
  onReceived(bytes: Uint8Array): void;
  /** The peer sent FIN or close_notify: no bytes follow. */
  onEnded(): void;
  onFailed(error: unknown): void;
}

/**
 * Maximum number of bytes that a stream may read before all others get their turn; each read counts
 * as `READ_COST` more. A timer yields: after `setImmediate` Deno runs many rounds without polling
 * the sockets.
 */
const TURN = 2_097_152;
const READ_COST = 4096;

/** Reads from a connection into a buffer that it reuses. */
export class Input {
  readonly #receiver: Receiver;
  readonly #buffer: ReadBuffer;
  /** Set while the stream is open. */
  #conn: Conn | undefined = undefined;
  #paused = false;
  /** A read is pending, or a chunk is being delivered. */
  #pulling = false;
  #ended = false;
  /** The last read reported close_notify, or FIN on a plain connection. */
  #closeNotify = false;
  /** Number of bytes at the start of the buffer that are not yet delivered. */
  #held = 0;
  /** Number of bytes of the last chunk. */
  #received = 0;
  /** Cost of the reads since the stream last yielded. */
  #turn = 0;

  constructor(receiver: Receiver, isPlain: boolean) {
    this.#receiver = receiver;
    this.#buffer = new ReadBuffer(isPlain ? plainSizes : tlsSizes);
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  get hasCloseNotify(): boolean {
    return this.#closeNotify;
  }

  /** Starts reading, unless it is paused. */
  open(conn: Conn): void {
    this.#conn = conn;
    if (!this.#paused) this.resume();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (!this.#conn || this.#pulling || this.#ended) return;
    if (this.#held === 0) return this.#pull(this.#conn);
    // `received` must not be called from within `resume`.
    this.#pulling = true;
    queueMicrotask(() => this.#deliver());
  }

  /** Called once: delivers nothing more. */
  close(): void {
    this.#conn = undefined;
    this.#buffer.drop();
  }

  #pull(conn: Conn): void {
    this.#pulling = true;
    const into = this.#buffer.next(this.#received);
    readInto(conn, into).then(this.#onRead, this.#onReadFailed);
  }

  readonly #onRead = (count: number): void => {
    if (count === 0) {
      this.#closeNotify = true;
      return this.#end();
    }
    this.#held = count;
    this.#deliver();
  };

  readonly #onReadFailed = (error: unknown): void => {
    // FIN without close_notify: many clients end so.
    if (isUnexpectedEof(error)) this.#end();
    else this.#receiver.onFailed(error);
  };

  #deliver(): void {
    if (!this.#conn || this.#paused) {
      this.#pulling = false;
      return;
    }
    this.#received = this.#held;
    this.#held = 0;
    this.#receiver.onReceived(this.#buffer.first(this.#received));
    if (!this.#conn || this.#paused) this.#pulling = false;
    else if (this.#mustYield()) setTimeout(() => this.#pullAgain(), 0);
    else this.#pull(this.#conn);
  }

  /** A stream that always has more would starve all others. */
  #mustYield(): boolean {
    this.#turn += this.#received + READ_COST;
    if (this.#turn < TURN) return false;
    this.#turn = 0;
    return true;
  }

  #pullAgain(): void {
    if (this.#conn && !this.#paused) this.#pull(this.#conn);
    else this.#pulling = false;
  }

  #end(): void {
    this.#pulling = false;
    if (!this.#conn) return;
    this.#ended = true;
    this.#receiver.onEnded();
  }
}
