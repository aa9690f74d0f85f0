/** Collects chunks of bytes in contiguous memory; the caller bounds the size. */
export class GrowingBuffer {
  private memory: Uint8Array;
  private length = 0;

  /** `capacity` is the initial one, in bytes. */
  constructor(capacity = 0) {
    this.memory = new Uint8Array(capacity);
  }

  /** All bytes so far; valid until more are added. */
  get bytes(): Uint8Array {
    return this.memory.subarray(0, this.length);
  }

  /** Copies the chunk and returns all bytes so far. */
  add(chunk: Uint8Array): Uint8Array {
    const length = this.length + chunk.length;
    if (length > this.memory.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.memory.length));
      larger.set(this.bytes);
      this.memory = larger;
    }
    this.memory.set(chunk, this.length);
    this.length = length;
    return this.bytes;
  }

  /** Removes the first `count` bytes, and keeps memory only for the rest. */
  drop(count: number): void {
    this.memory = this.bytes.slice(count);
    this.length = this.memory.length;
  }
}
