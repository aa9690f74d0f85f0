/** Maximum reordering of packets, in packets. */
const WIDTH = 1024;

/** A sender's recent packet numbers, to detect replays (RFC 4303 section 3.4.3). */
export class ReplayWindow {
  /** By number modulo the width. */
  private readonly seen = new Uint8Array(WIDTH);
  private highest = -1;

  /** Returns false for a number that was added before, and for one that is too old. */
  isNew(number: number): boolean {
    if (number > this.highest) return true;
    return number > this.highest - WIDTH && this.seen[number % WIDTH] === 0;
  }

  /** Adds a new number. */
  add(number: number): void {
    if (number - this.highest >= WIDTH) this.seen.fill(0);
    else for (let i = this.highest + 1; i < number; i++) this.seen[i % WIDTH] = 0;
    this.seen[number % WIDTH] = 1;
    this.highest = Math.max(this.highest, number);
  }
}
