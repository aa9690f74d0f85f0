/** Collects chunks in contiguous memory; the caller limits its size. */
export class GrowingBuffer {
  private room: Uint8Array;
  private length = 0;

  /** `room` is the initial capacity in bytes. */
  constructor(room = 0) {
    this.room = new Uint8Array(room);
  }

  /** All bytes so far, as a view that is valid until the next {@link add}. */
  get bytes(): Uint8Array {
    return this.room.subarray(0, this.length);
  }

  /** Appends a copy of the chunk. Returns all bytes so far. */
  add(chunk: Uint8Array): Uint8Array {
    const length = this.length + chunk.length;
    if (length > this.room.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.room.length));
      larger.set(this.bytes);
      this.room = larger;
    }
    this.room.set(chunk, this.length);
    this.length = length;
    return this.bytes;
  }
}
