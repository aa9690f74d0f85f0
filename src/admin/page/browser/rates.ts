/** Rates of counters that are identified by a key, such as those of each worker. */

export class Rates {
  #at: number | undefined;
  #totals = new Map<string | number, number>();
  #rates = new Map<string | number, number>();

  /** Adds the totals at a time. A total that is new or lower than before has started at 0. */
  add(iso: string, totals: readonly (readonly [key: string | number, total: number])[]): void {
    const at = Date.parse(iso);
    const seconds = (at - (this.#at ?? NaN)) / 1000;
    // The same document is drawn again when the page is looked at again.
    if (seconds === 0) return;
    this.#rates = new Map(totals.flatMap(([key, total]) => {
      const before = this.#totals.get(key) ?? 0;
      const more = total < before ? total : total - before;
      return seconds > 0 ? [[key, more / seconds]] : [];
    }));
    this.#at = at;
    this.#totals = new Map(totals);
  }

  /** Per second; undefined until there are two totals. */
  of(key: string | number): number | undefined {
    return this.#rates.get(key);
  }
}
