/** The buffers that streams are read into. */

/** All buffers of one size. */
interface Size {
  readonly bytes: number;
  /** Maximum number of buffers. */
  readonly max: number;
  made: number;
  readonly spare: Uint8Array[];
}

/** The buffer of an idle stream. */
const SMALLEST = size(4096);

/** Deno never reads more than one record at a time (RFC 8446 section 5.1). */
export const tlsSizes: readonly Size[] = [SMALLEST, size(16_384)];

/**
 * A full download costs a third less CPU with the largest size. A stalled reader would hold one for
 * long, so their number is limited.
 */
export const plainSizes: readonly Size[] = [SMALLEST, size(65_536), size(524_288, 16)];

/** Maximum number of bytes in the spare buffers of one size. */
const SPARE_BYTES = 2_097_152;

/** One stream's buffer: it grows while reads fill it, and shrinks when they need less. */
export class ReadBuffer {
  readonly #sizes: readonly Size[];
  #step = 0;
  #bytes: Uint8Array | undefined = undefined;

  constructor(sizes: readonly Size[]) {
    this.#sizes = sizes;
  }

  /** Returns the first `count` bytes. */
  first(count: number): Uint8Array {
    return this.#bytes!.subarray(0, count);
  }

  /**
   * Returns the buffer for the next read, after one of `count` bytes (0 before the first). Earlier
   * bytes must no longer be needed.
   */
  next(count: number): Uint8Array {
    const bytes = this.#bytes;
    if (bytes === undefined) return this.#bytes = take(this.#sizes[0]!)!;
    if (count === bytes.length) this.#change(this.#step + 1);
    else if (this.#step > 0 && count <= this.#sizes[this.#step - 1]!.bytes) {
      this.#change(this.#step - 1);
    }
    return this.#bytes!;
  }

  /** Called once at the end. The bytes may still be needed elsewhere, so the buffer is not reused. */
  drop(): void {
    if (this.#bytes) this.#sizes[this.#step]!.made--;
  }

  #change(step: number): void {
    const to = this.#sizes[step];
    const bytes = to && take(to);
    if (!bytes) return;
    give(this.#sizes[this.#step]!, this.#bytes!);
    this.#step = step;
    this.#bytes = bytes;
  }
}

/** Copies chunks into one buffer. */
export class Collector {
  #bytes = new Uint8Array(FIRST_ROOM);
  #length = 0;

  add(bytes: Uint8Array): void {
    const length = this.#length + bytes.length;
    if (length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.#bytes.length));
      larger.set(this.all());
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length = length;
  }

  all(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}

const FIRST_ROOM = 1024;

function size(bytes: number, max = Infinity): Size {
  return { bytes, max, made: 0, spare: [] };
}

function take(from: Size): Uint8Array | undefined {
  const spare = from.spare.pop();
  if (spare || from.made >= from.max) return spare;
  from.made++;
  return new Uint8Array(from.bytes);
}

function give(to: Size, bytes: Uint8Array): void {
  if ((to.spare.length + 1) * to.bytes <= SPARE_BYTES) to.spare.push(bytes);
  else to.made--;
}
