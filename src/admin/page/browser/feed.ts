/** The stream of status documents: connects again by itself, and knows how old the last one is. */
import type { Status } from "../../../status/status.ts";

/**
 * `waiting`: nothing has come yet. `live`: all is new. `old`: connected, but nothing new comes.
 * `away`: not connected, not even if it is tried at this moment.
 */
export type FeedState = "waiting" | "live" | "old" | "away";

/** What is used of an `EventSource`. */
export interface Source {
  addEventListener(type: string, listener: (event: { readonly data?: unknown }) => void): void;
  close(): void;
}

export interface FeedParts {
  /** Connects. */
  open(): Source;
  /** Milliseconds that only grow. */
  now(): number;
  onStatus(status: Status): void;
}

/** From this age on, in milliseconds, values are called old. */
const OLD = 4_000;
/** A connection on which nothing has come for so long is given up, in milliseconds. */
const SILENT = 15_000;
/** The waits before the next attempts, in milliseconds; the last one is repeated. */
const WAITS = [500, 1_000, 2_000, 5_000];

export class Feed {
  readonly #parts: FeedParts;
  #source: Source | undefined;
  /** The service has accepted the connection. */
  #isOpen = false;
  /** When the connection last showed life. */
  #heardAt = 0;
  /** When the last new document came. */
  #newAt: number | undefined;
  #time: string | undefined;
  #attempts = 0;
  #retryAt: number | undefined;

  constructor(parts: FeedParts) {
    this.#parts = parts;
    this.#connect();
  }

  /** Age of the last new document in milliseconds; undefined before the first. */
  get age(): number | undefined {
    return this.#newAt === undefined ? undefined : this.#parts.now() - this.#newAt;
  }

  get state(): FeedState {
    const { age } = this;
    if (age !== undefined && age < OLD) return "live";
    if (this.#isOpen) return age === undefined ? "waiting" : "old";
    return age === undefined && this.#attempts === 0 ? "waiting" : "away";
  }

  /** To be called about once a second: connects again when it is time. */
  tick(): void {
    const now = this.#parts.now();
    if (this.#retryAt !== undefined && now >= this.#retryAt) this.#connect();
    if (this.#source && now - this.#heardAt >= SILENT) this.#lost();
  }

  /** Connects at once if it was waiting to, as when the network is back. */
  retry(): void {
    if (this.#retryAt !== undefined) this.#connect();
  }

  #connect(): void {
    this.#retryAt = undefined;
    this.#heardAt = this.#parts.now();
    const source = this.#source = this.#parts.open();
    // The browser would try again as well, but not after every kind of failure.
    source.addEventListener("error", () => source === this.#source && this.#lost());
    source.addEventListener("open", () => {
      if (source === this.#source) this.#isOpen = true;
    });
    source.addEventListener("status", ({ data }) => {
      if (source === this.#source) this.#receive(String(data));
    });
  }

  #receive(text: string): void {
    const now = this.#parts.now();
    this.#heardAt = now;
    const status = parse(text);
    // A helper may repeat the last document of a master that does not answer.
    if (!status || status.time === this.#time) return;
    this.#attempts = 0;
    this.#time = status.time;
    this.#newAt = now;
    this.#parts.onStatus(status);
  }

  #lost(): void {
    this.#source?.close();
    this.#source = undefined;
    this.#isOpen = false;
    const wait = WAITS[Math.min(this.#attempts++, WAITS.length - 1)]!;
    this.#retryAt = this.#parts.now() + wait;
  }
}

function parse(text: string): Status | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
