/** Bytes that come in pieces, in one place; whoever fills it bounds it. */
export class GrowingBuffer {
  private room: Uint8Array;
  private length = 0;

  /** `room` is how many bytes there is room for at first. */
  constructor(room = 0) {
    this.room = new Uint8Array(room);
  }

  /** Everything so far, until more is added. */
  get bytes(): Uint8Array {
    return this.room.subarray(0, this.length);
  }

  /** Copies the piece and returns everything so far. */
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
