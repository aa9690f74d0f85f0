import { type Clock, systemClock } from "../base/clock.ts";
import type { Reads } from "../options/config.ts";
import { fingerprintOf, type NamedFiles } from "./fingerprint.ts";

/** Between two looks, in milliseconds. */
const INTERVAL_MS = 2000;
/** Of the time, one part in so many at most is spent on looking: thousands of files are many. */
const SHARE = 40;

export type WatchSettings = NamedFiles & Reads<"watch">;

export interface WatchDependencies {
  readonly look?: (config: WatchSettings) => Promise<string>;
  readonly clock?: Clock;
}

/**
 * `--watch`: notices by itself that certificate files have changed. It polls, which sees exchanged
 * symbolic links and works on every file system.
 */
export class CertificateWatch {
  private readonly changed: () => void;
  private readonly look: (config: WatchSettings) => Promise<string>;
  private readonly clock: Clock;
  /** What was loaded, or at least tried. */
  private known = "";
  /** What was found instead; not loaded before it is found twice, since half of it may be missing. */
  private found: string | undefined;
  /** Each {@link begin} ends the one before. */
  private round = 0;

  /** `changed` is called once for each change that has come to rest. */
  constructor(
    changed: () => void,
    { look = fingerprintOf, clock = systemClock }: WatchDependencies = {},
  ) {
    this.changed = changed;
    this.look = look;
    this.clock = clock;
  }

  /**
   * Watches this configuration's files from now on, if it says so. Fulfilled when all were looked
   * at: what is loaded after that is at least as new, and what changes meanwhile is noticed.
   */
  async begin(config: WatchSettings): Promise<void> {
    const round = ++this.round;
    this.found = undefined;
    if (!config.watch) return;
    const known = await this.look(config);
    if (round !== this.round) return;
    this.known = known;
    this.lookLater(config, round, INTERVAL_MS);
  }

  /** Looks no more. */
  end(): void {
    this.round++;
  }

  private lookLater(config: WatchSettings, round: number, pause: number): void {
    this.clock.after(pause, () => this.lookAgain(config, round));
  }

  private async lookAgain(config: WatchSettings, round: number): Promise<void> {
    if (round !== this.round) return;
    const began = this.clock.now();
    const found = await this.look(config);
    if (round !== this.round) return;
    const isAtRest = found === this.found;
    this.found = found === this.known || isAtRest ? undefined : found;
    this.lookLater(config, round, Math.max(INTERVAL_MS, SHARE * (this.clock.now() - began)));
    if (!isAtRest) return;
    // A broken one is not tried again before it changes.
    this.known = found;
    this.changed();
  }
}
