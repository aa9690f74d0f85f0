import { randomSecret, type TicketRing } from "./ring.ts";

/** The state that is handed over to a new process. */
export interface LocalState {
  /** The previous secret if there is one, the current one, the next one. */
  readonly secrets: readonly string[];
  /** When the current one was first used, in seconds of CLOCK_MONOTONIC. */
  readonly since: number;
}

/** Number of secrets: previous, current and next. */
const RING = 3;

/**
 * Random keys of one machine. Tickets of the previous and of the next key are accepted too, so that
 * a worker that learns of a rotation late accepts the tickets of one that learned of it earlier.
 */
export class LocalKeys {
  private readonly period: number;
  private readonly now: () => number;
  private secrets: readonly string[];
  private since: number;

  /** `period` in seconds; `now` returns seconds of CLOCK_MONOTONIC. */
  constructor(period: number, now: () => number, inherited?: LocalState) {
    this.period = period;
    this.now = now;
    this.secrets = inherited?.secrets ?? [randomSecret(), randomSecret()];
    this.since = inherited?.since ?? now();
  }

  get ring(): TicketRing {
    return { secrets: this.secrets, current: this.secrets.length - 2 };
  }

  /** Seconds since the current secret was first used. */
  get age(): number {
    return this.now() - this.since;
  }

  get state(): LocalState {
    return { secrets: this.secrets, since: this.since };
  }

  /** Call it about once a second. Returns true if the ring has changed. */
  check(): boolean {
    // After the machine was suspended for long, all tickets have expired.
    const turns = Math.min(Math.floor((this.now() - this.since) / this.period), RING);
    for (let turn = 0; turn < turns; turn++) {
      this.secrets = [...this.secrets.slice(1 - RING), randomSecret()];
    }
    if (turns > 0) this.since = this.now();
    return turns > 0;
  }
}
