/** Open connections whose memory is worth the milliseconds that reclaiming takes. */
const MANY_OPEN = 500;
/** Connections accepted one after the other that leave as much garbage. */
const MANY_ACCEPTED = 5000;
/** New connections per second below which a worker is quiet. */
const FEW_NEW = 50;

/** Detects the end of a flood of connections, when their memory can be reclaimed. */
export class MemoryReclaim {
  /** Since the last reclaim. */
  private maxOpen = 0;
  private totalAtReclaim = 0;
  /** `total` at the last call. */
  private lastTotal = 0;

  /**
   * Called about once a second. `open`: connections now; `maxOpen`: their maximum since the last
   * call; `total`: accepted so far. Returns true if memory should be reclaimed now: half of many
   * have closed, or after many only few new ones arrive.
   */
  isDue(open: number, maxOpen: number, total: number): boolean {
    this.maxOpen = Math.max(this.maxOpen, maxOpen);
    const isQuiet = total - this.lastTotal < FEW_NEW;
    this.lastTotal = total;
    const hasFloodEnded = this.maxOpen >= MANY_OPEN && open <= this.maxOpen / 2;
    const hasTrafficCeased = isQuiet && total - this.totalAtReclaim >= MANY_ACCEPTED;
    if (!hasFloodEnded && !hasTrafficCeased) return false;
    this.maxOpen = open;
    this.totalAtReclaim = total;
    return true;
  }
}
