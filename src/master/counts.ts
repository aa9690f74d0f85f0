import { type CountedSeries, CounterTotals } from "../base/counters.ts";
import { SeparateNames } from "./counters.ts";

/** What a master has counted, for its successor. */
export interface HandedCounts {
  /** When the counters began, in seconds since 1970. */
  readonly since: number;
  readonly numbers: readonly CountedSeries[];
}

/**
 * What the master and all its workers have counted, and its predecessors with theirs. No number ever
 * decreases, whatever exits.
 */
export class Counts {
  readonly totals = new CounterTotals();
  readonly names: SeparateNames;
  /** When the counters began, in seconds since 1970. */
  readonly since: number;
  /** The part that the predecessor has counted. */
  private readonly inherited = new CounterTotals();

  constructor(handed?: HandedCounts) {
    this.since = handed?.since ?? Math.round(performance.timeOrigin) / 1000;
    this.names = new SeparateNames(handed?.numbers);
    if (handed) this.inherit(handed.numbers);
  }

  /** What a successor inherits. */
  get handed(): HandedCounts {
    return { since: this.since, numbers: this.totals.all };
  }

  /** Adds what the predecessor has counted since the last call; `numbers` are all of its own. */
  inherit(numbers: readonly CountedSeries[]): void {
    this.inherited.raise(numbers, (series, by) => this.totals.add(series, by));
  }

  /** The predecessor has exited, and its connections are closed. */
  settle(): void {
    const closed = this.inherited.all.flatMap(({ name, labels }) => {
      if (name !== "connections_accepted_total") return [];
      const value = this.inherited.total(name, labels);
      return [{ name: "connections_closed_total", labels, value }];
    });
    this.inherit(closed);
  }
}
