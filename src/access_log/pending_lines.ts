import { LINE_BEGINS } from "./format.ts";

const NEWLINE = 10;

/** Lines that were read and not yet written. Only whole lines are given out. */
export class PendingLines {
  private whole = new Uint8Array();
  /** The beginning of a line. */
  private torn = new Uint8Array();
  private skips = false;

  /** No whole line waits. */
  get isEmpty(): boolean {
    return this.whole.length === 0;
  }

  /** What was read last ends in the middle of a line. */
  get isTorn(): boolean {
    return this.torn.length > 0;
  }

  /** All whole lines. */
  get bytes(): Uint8Array {
    return this.whole;
  }

  /** Adds what was read, of which a copy is made. */
  add(read: Uint8Array): void {
    const all = new Uint8Array(this.whole.length + this.torn.length + read.length);
    all.set(this.whole);
    all.set(this.torn, this.whole.length);
    all.set(read, this.whole.length + this.torn.length);
    const skips = this.skips && !isBegin(all);
    const start = skips ? all.indexOf(NEWLINE) + 1 : 0;
    if (skips && start === 0) return;
    this.skips = false;
    const end = all.lastIndexOf(NEWLINE) + 1;
    this.whole = all.slice(start, Math.max(start, end));
    this.torn = all.slice(Math.max(start, end));
  }

  /** The beginning was written. */
  taken(bytes: number): void {
    this.whole = this.whole.subarray(bytes);
  }

  /** Drops the whole lines, and returns their number. */
  drop(): number {
    const lines = this.whole.reduce((sum, byte) => byte === NEWLINE ? sum + 1 : sum, 0);
    this.whole = new Uint8Array();
    return lines;
  }

  /** Drops the beginning of a line whose rest will not come. */
  dropTorn(): void {
    this.torn = new Uint8Array();
  }

  /** What is read first may be the rest of a line, which is passed over: it begins like no line. */
  skipTorn(): void {
    this.skips = true;
  }
}

function isBegin(bytes: Uint8Array): boolean {
  const text = Buffer.from(bytes.subarray(0, LONGEST_BEGIN)).toString("latin1");
  return LINE_BEGINS.some((begin) => begin.startsWith(text) || text.startsWith(begin));
}

const LONGEST_BEGIN = Math.max(...LINE_BEGINS.map(({ length }) => length));
