import { randomSecret, type TicketRing } from "./ring.ts";

/** What a successor goes on with. */
export interface LocalState {
  /** The previous one if there was any, the current one, the next one. */
  readonly secrets: readonly string[];
  /** The second of CLOCK_MONOTONIC since which the current one is used. */
  readonly since: number;
}

/** Previous, current and next. */
const RING = 3;

/**
 * Random keys of one machine. The previous one still reads, and the next one does already, so that a
 * worker which hears of a change later than another refuses none of its tickets.
 */
export class LocalKeys {
  private readonly period: number;
  private readonly now: () => number;
  private secrets: readonly string[];
  private since: number;

  /** `period` in seconds; `now` tells seconds of CLOCK_MONOTONIC. */
  constructor(period: number, now: () => number, inherited?: LocalState) {
    this.period = period;
    this.now = now;
    this.secrets = inherited?.secrets ?? [randomSecret(), randomSecret()];
    this.since = inherited?.since ?? now();
  }

  get ring(): TicketRing {
    return { secrets: this.secrets, current: this.secrets.length - 2 };
  }

  get state(): LocalState {
    return { secrets: this.secrets, since: this.since };
  }

  /** To be called about once a second. True when the ring has changed. */
  check(): boolean {
    // After a long sleep of the machine there is no ticket left to read.
    const turns = Math.min(Math.floor((this.now() - this.since) / this.period), RING);
    for (let turn = 0; turn < turns; turn++) {
      this.secrets = [...this.secrets.slice(1 - RING), randomSecret()];
    }
    if (turns > 0) this.since = this.now();
    return turns > 0;
  }
}
