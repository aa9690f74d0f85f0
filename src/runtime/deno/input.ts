/** What a stream receives: reads, which return promises, become calls. */
import { type Conn, readInto } from "./api.ts";
import { plainSizes, ReadBuffer, tlsSizes } from "./buffers.ts";
import { isUnexpectedEof } from "./failures.ts";

export interface Receiver {
  /** Must not throw. */
  onReceived(bytes: Uint8Array): void;
  /** The peer's end: no bytes follow. */
  onEnded(): void;
  broke(error: unknown): void;
}

/**
 * Maximum number of bytes that a stream may bring before all others get their turn; each read counts
 * extra. The turn comes by a timer: after `setImmediate` Deno runs many rounds without polling the
 * sockets.
 */
const TURN = 2_097_152;
const READ_COST = 4096;

/** The readable half of a stream. */
export class Input {
  readonly #receiver: Receiver;
  readonly #buffer: ReadBuffer;
  /** Set while the stream is open. */
  #conn: Conn | undefined = undefined;
  #paused = false;
  /** A read is on its way, or a chunk is being handed over. */
  #pulling = false;
  #ended = false;
  /** Bytes at the start of the buffer that `onReceived` has not had yet. */
  #held = 0;
  /** How many bytes came last. */
  #received = 0;
  /** What was read since the event loop last had its turn. */
  #turn = 0;

  constructor(receiver: Receiver, isPlain: boolean) {
    this.#receiver = receiver;
    this.#buffer = new ReadBuffer(isPlain ? plainSizes : tlsSizes);
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  /** Reading begins, unless it was paused before. */
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
    // `resume` must not call `received` from within itself.
    this.#pulling = true;
    queueMicrotask(() => this.#handOver());
  }

  /** Called once: nothing is received any more. */
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
    if (count === 0) return this.#end();
    this.#held = count;
    this.#handOver();
  };

  readonly #onReadFailed = (error: unknown): void => {
    // FIN without close_notify. Many clients end so, and the core counts bytes for itself.
    if (isUnexpectedEof(error)) this.#end();
    else this.#receiver.broke(error);
  };

  #handOver(): void {
    if (!this.#conn || this.#paused) {
      this.#pulling = false;
      return;
    }
    this.#received = this.#held;
    this.#held = 0;
    this.#receiver.onReceived(this.#buffer.first(this.#received));
    if (!this.#conn || this.#paused) this.#pulling = false;
    else if (this.#hadTurn()) setTimeout(() => this.#pullAgain(), 0);
    else this.#pull(this.#conn);
  }

  /** A stream that always has more would keep the event loop from all others. */
  #hadTurn(): boolean {
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
