/** Lines and blanks of texts that are read as bytes, with any line ends: LF, CR LF or CR. */

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
/** Tab, line feed, vertical tab, form feed, carriage return, space; and the bytes of a UTF-8 BOM. */
const BLANKS: readonly number[] = [0x09, LINE_FEED, 0x0b, 0x0c, CARRIAGE_RETURN, 0x20];
const BOM: readonly number[] = [0xef, 0xbb, 0xbf];

/** Whether the byte is a space, a tab or a part of a line end. */
export function isBlank(byte: number): boolean {
  return BLANKS.includes(byte);
}

/** Returns the bytes without blanks and byte order marks at their start. */
export function skipBlanks(bytes: Buffer): Buffer {
  let start = 0;
  while (start < bytes.length && (isBlank(bytes[start]!) || BOM.includes(bytes[start]!))) start++;
  return bytes.subarray(start);
}

/** Returns where the line that contains the offset `at` starts. */
export function lineStart(bytes: Buffer, at: number): number {
  while (at > 0 && !isLineEnd(bytes[at - 1])) at--;
  return at;
}

/** Returns where that line ends, before its line end. */
export function lineEnd(bytes: Buffer, at: number): number {
  while (at < bytes.length && !isLineEnd(bytes[at])) at++;
  return at;
}

/** Returns where the line after the line end at `at` starts. */
export function nextLine(bytes: Buffer, at: number): number {
  return at + (bytes[at] === CARRIAGE_RETURN && bytes[at + 1] === LINE_FEED ? 2 : 1);
}

/** Counts lines up to offsets, each of which is after the one before. */
export class LineCounter {
  private readonly bytes: Buffer;
  private offset = 0;
  private line = 1;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** Returns the number of the line at `offset`, from 1. */
  at(offset: number): number {
    this.line += lineEnds(this.bytes, this.offset, offset);
    this.offset = offset;
    return this.line;
  }
}

/** Counts LF, CR LF and CR; a CR LF at `to` that is cut in half counts once, after it. */
export function lineEnds(bytes: Buffer, from: number, to: number): number {
  let count = 0;
  for (let at = from; at < to; at++) {
    const isEnd = bytes[at] === LINE_FEED ||
      (bytes[at] === CARRIAGE_RETURN && bytes[at + 1] !== LINE_FEED);
    if (isEnd) count++;
  }
  return count;
}

function isLineEnd(byte: number | undefined): boolean {
  return byte === LINE_FEED || byte === CARRIAGE_RETURN;
}
