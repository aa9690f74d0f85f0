/**
 * A map of limited size that drops roughly the least recently used entries: they are in two halves,
 * and once the newer one is full, the older one is dropped. Finding a recent entry changes nothing.
 */
export class RecentMap<K, V> {
  private readonly half: number;
  private readonly dropped: () => void;
  private newer = new Map<K, V>();
  private older = new Map<K, V>();

  /**
   * `limit` is the maximum number of entries, at least 2. `dropped` is called each time entries are
   * dropped.
   */
  constructor(limit: number, dropped: () => void = () => {}) {
    this.half = Math.floor(limit / 2);
    this.dropped = dropped;
  }

  get size(): number {
    return this.newer.size + this.older.size;
  }

  get(key: K): V | undefined {
    const found = this.newer.get(key);
    if (found !== undefined) return found;
    const before = this.older.get(key);
    if (before !== undefined) this.set(key, before);
    return before;
  }

  set(key: K, value: V): void {
    this.older.delete(key);
    if (this.newer.size >= this.half && !this.newer.has(key)) {
      const isDropping = this.older.size > 0;
      this.older = this.newer;
      this.newer = new Map();
      if (isDropping) this.dropped();
    }
    this.newer.set(key, value);
  }
}
