/** Pseudo-random numbers and bytes from a seed, so that a run can be repeated. */

/** Numbers from 0 to below 1 (xorshift32; Marsaglia 2003). */
export function numbers(seed: number): () => number {
  let state = (seed * 2_654_435_761 + 1) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

const PAD_BYTES = 1 << 20;

/**
 * An endless stream of bytes. All streams repeat one pad from different offsets: if two are mixed
 * up, or a byte is lost or duplicated, the next bytes differ.
 */
export class Pattern {
  static #pad: Buffer | undefined;
  #at: number;

  /** `start` is a relative offset from 0 to below 1. */
  constructor(start: number) {
    this.#at = Math.floor(start * PAD_BYTES);
  }

  /** Returns the next bytes, at most the pad's length. */
  take(length: number): Buffer {
    const pad = Pattern.#bytes();
    const end = this.#at + length;
    const first = pad.subarray(this.#at, end);
    this.#at = end % PAD_BYTES;
    return end <= PAD_BYTES ? first : Buffer.concat([first, pad.subarray(0, end - PAD_BYTES)]);
  }

  /** Whether these are the next bytes; if so, consumes them. */
  isNext(bytes: Uint8Array): boolean {
    return this.take(bytes.length).equals(bytes);
  }

  static #bytes(): Buffer {
    if (Pattern.#pad) return Pattern.#pad;
    const next = numbers(1);
    const words = Uint32Array.from({ length: PAD_BYTES / 4 }, () => next() * 2 ** 32);
    return Pattern.#pad = Buffer.from(words.buffer);
  }
}
