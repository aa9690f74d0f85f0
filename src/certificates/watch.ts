import { type Clock, systemClock } from "../base/clock.ts";
import type { Reads } from "../options/config.ts";
import { fingerprintOf, type NamedFiles } from "./fingerprint.ts";

/** The interval of polling, in milliseconds. */
const INTERVAL_MS = 2000;
/** Polling takes at most 1/40 of the time, also with thousands of files. */
const SHARE = 40;

export type WatchSettings = NamedFiles & Reads<"watch">;

export interface WatchDependencies {
  readonly look?: (config: WatchSettings) => Promise<string>;
  readonly clock?: Clock;
}

/**
 * Implements `--watch`: detects changed certificate files. It polls, which also detects replaced
 * symbolic links and works on every file system.
 */
export class CertificateWatch {
  private readonly changed: () => void;
  private readonly look: (config: WatchSettings) => Promise<string>;
  private readonly clock: Clock;
  /** The fingerprint of what was loaded, successfully or not. */
  private known = "";
  /** A different fingerprint that was found once; half of the files may still be missing. */
  private found: string | undefined;
  /** The number of the last {@link begin}, which ends the one before. */
  private round = 0;

  /** Calls `changed` once for each change, when two polls in a row have found the same files. */
  constructor(
    changed: () => void,
    { look = fingerprintOf, clock = systemClock }: WatchDependencies = {},
  ) {
    this.changed = changed;
    this.look = look;
    this.clock = clock;
  }

  /**
   * Watches this configuration's files if it enables watching, and no others. Resolves after the
   * first poll: files that are loaded later are at least as new, and later changes are detected.
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

  /** Stops polling. */
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
    // Broken files are not loaded again until they change.
    this.known = found;
    this.changed();
  }
}
