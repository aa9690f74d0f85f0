/** Packets that may overtake one another without being lost. */
const WIDTH = 1024;

/** Which of a sender's last numbers were here already (RFC 4303 section 3.4.3). */
export class ReplayWindow {
  /** By number modulo the width. */
  private readonly seen = new Uint8Array(WIDTH);
  private highest = -1;

  /** False for one that was here, and for one too old to know. */
  isNew(number: number): boolean {
    if (number > this.highest) return true;
    return number > this.highest - WIDTH && this.seen[number % WIDTH] === 0;
  }

  /** Notes a number that is new. */
  add(number: number): void {
    if (number - this.highest >= WIDTH) this.seen.fill(0);
    else for (let i = this.highest + 1; i < number; i++) this.seen[i % WIDTH] = 0;
    this.seen[number % WIDTH] = 1;
    this.highest = Math.max(this.highest, number);
  }
}
