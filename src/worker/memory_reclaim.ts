/** The memory of so many connections at once is worth the milliseconds that it takes to give it back. */
const MANY_AT_ONCE = 500;
/** So many that came one after the other leave as much garbage. */
const MANY_IN_ALL = 5000;
/** With fewer new ones in a second a worker is quiet. */
const QUIET = 50;

/** Notices when a flood of connections is over, so that its memory can be given back. */
export class MemoryReclaim {
  /** Since memory was last given back. */
  private most = 0;
  private last = 0;
  /** At the last call. */
  private total = 0;

  /**
   * Called about every second: `open` connections are there, `most` were at once since the last
   * call, `total` were ever accepted. True when memory should be given back now: half of many have
   * ended, or many came and few do any more.
   */
  isDue(open: number, most: number, total: number): boolean {
    this.most = Math.max(this.most, most);
    const isQuiet = total - this.total < QUIET;
    this.total = total;
    const haveLeft = this.most >= MANY_AT_ONCE && open <= this.most / 2;
    const haveCome = isQuiet && total - this.last >= MANY_IN_ALL;
    if (!haveLeft && !haveCome) return false;
    this.most = open;
    this.last = total;
    return true;
  }
}
