import { type Clock, systemClock } from "../../base/clock.ts";

/** How long one worker has to have more than its part, in milliseconds. */
const WINDOW_MS = 10_000;
/** Fewer connections in that time are no burden, wherever they come. */
const MIN_CONNECTIONS = 100;
/** Of two workers none can have more than twice the mean, which is all. */
const MAX_SHARE = 0.9;

/** A worker which had too great a share of the new connections for the whole time. */
export interface Overload {
  /** A place in the list of workers. */
  readonly place: number;
  /** More than 0, at most 1. */
  readonly share: number;
  /** New connections of all workers. */
  readonly connections: number;
  readonly seconds: number;
}

/** Watches how new connections are shared out among workers. */
export class LoadSkew {
  private readonly clock: Clock;
  private began = 0;
  private before: readonly number[] | undefined;

  constructor(clock: Clock = systemClock) {
    this.clock = clock;
  }

  /** Forgets what it has seen. */
  restart(): void {
    this.before = undefined;
  }

  /**
   * To be called about once a second with the connections that each worker has ever accepted. The
   * worker which got more than twice the mean in the last ten seconds, of two workers more than nine
   * tenths.
   */
  look(accepted: readonly number[]): Overload | undefined {
    const now = this.clock.now();
    const { before, began } = this;
    if (before && now - began < WINDOW_MS) return undefined;
    this.before = accepted;
    this.began = now;
    if (!before) return undefined;
    const fresh = accepted.map((count, i) => count - before[i]!);
    const connections = fresh.reduce((sum, count) => sum + count, 0);
    const most = Math.max(...fresh);
    const share = most / connections;
    const limit = Math.min(2 / accepted.length, MAX_SHARE);
    if (connections < MIN_CONNECTIONS || share <= limit) return undefined;
    const seconds = Math.round((now - began) / 1000);
    return { place: fresh.indexOf(most), share, connections, seconds };
  }
}
