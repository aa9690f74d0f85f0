/**
 * Reads the fields of a binary message from the start of `bytes`. Its methods throw a RangeError
 * beyond the end.
 */
export class ByteReader {
  private readonly bytes: Uint8Array;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get isEmpty(): boolean {
    return this.at === this.bytes.length;
  }

  take(length: number): Uint8Array {
    const start = this.at;
    this.skip(length);
    return this.bytes.subarray(start, this.at);
  }

  skip(length: number): void {
    if (this.at + length > this.bytes.length) throw new RangeError("the message is too short");
    this.at += length;
  }

  number(width: number): number {
    if (this.at + width > this.bytes.length) throw new RangeError("the message is too short");
    let value = 0;
    for (let i = 0; i < width; i++) value = value * 256 + this.bytes[this.at++]!;
    return value;
  }
}
