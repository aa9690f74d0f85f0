import { type Clock, systemClock } from "../../base/clock.ts";

/** Time in which a worker must get more than its share, in milliseconds. */
const WINDOW_MS = 10_000;
/** Fewer new connections in that time are no overload. */
const MIN_CONNECTIONS = 100;
/** Limit of a worker's share; of two workers none can exceed twice the mean, which is all. */
const MAX_SHARE = 0.9;

/** A worker whose share of the new connections was too large. */
export interface Overload {
  /** Its index in the list of workers. */
  readonly place: number;
  /** Greater than 0, at most 1. */
  readonly share: number;
  /** New connections of all workers. */
  readonly connections: number;
  readonly seconds: number;
}

/** Watches how the kernel distributes new connections over the workers. */
export class LoadSkew {
  private readonly clock: Clock;
  private startedAt = 0;
  private baseline: readonly number[] | undefined;

  constructor(clock: Clock = systemClock) {
    this.clock = clock;
  }

  /** Discards the counts so far. */
  restart(): void {
    this.baseline = undefined;
  }

  /**
   * Called about once a second with the number of connections that each worker has accepted so far.
   * Returns the worker that got more than twice the mean in the last ten seconds; of two workers,
   * one that got more than 90 %.
   */
  check(accepted: readonly number[]): Overload | undefined {
    const now = this.clock.now();
    const { baseline, startedAt } = this;
    if (baseline && now - startedAt < WINDOW_MS) return undefined;
    this.baseline = accepted;
    this.startedAt = now;
    if (!baseline) return undefined;
    const fresh = accepted.map((count, i) => count - baseline[i]!);
    const connections = fresh.reduce((sum, count) => sum + count, 0);
    const max = Math.max(...fresh);
    const share = max / connections;
    const limit = Math.min(2 / accepted.length, MAX_SHARE);
    if (connections < MIN_CONNECTIONS || share <= limit) return undefined;
    const seconds = Math.round((now - startedAt) / 1000);
    return { place: fresh.indexOf(max), share, connections, seconds };
  }
}
