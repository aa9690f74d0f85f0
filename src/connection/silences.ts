import { raise } from "../base/raise.ts";
import { type Clock, systemClock } from "../clock.ts";

/** Silence is measured in rounds, and so a tenth of the limit too long at most. */
const ROUNDS = 10;
const SHORTEST_ROUND_MS = 10;
/** While a slow reader still has bytes to take, silence may last this many limits. */
const SLOW_READER_PATIENCE = 10;

/** Something that may fall silent. */
export interface Speaker {
  /** It sets this whenever it is not silent, which is all that activity costs. */
  isActive: boolean;
  quietRounds: number;
  /** It is silent because a reader takes its bytes slowly. */
  readonly isHeldUp: boolean;
}

/** Finds speakers that were silent too long, by one timer that looks at all of them. */
export class Silences<T extends Speaker> {
  private readonly speakers = new Set<T>();
  private readonly roundMs: number;
  private readonly rounds: number;
  private readonly expired: (speaker: T) => void;
  private readonly clock: Clock;
  private isWaiting = false;

  /** `expired` is called once for each speaker that was silent for `seconds`. */
  constructor(seconds: number, expired: (speaker: T) => void, clock: Clock = systemClock) {
    this.roundMs = Math.max(seconds * 1000 / ROUNDS, SHORTEST_ROUND_MS);
    this.rounds = Math.ceil(seconds * 1000 / this.roundMs);
    this.expired = expired;
    this.clock = clock;
  }

  start(speaker: T): void {
    speaker.isActive = true;
    this.speakers.add(speaker);
    if (!this.isWaiting) this.wait();
  }

  stop(speaker: T): void {
    this.speakers.delete(speaker);
  }

  private wait(): void {
    this.isWaiting = true;
    this.clock.after(this.roundMs, () => {
      this.isWaiting = false;
      for (const speaker of this.speakers) this.look(speaker);
      if (this.speakers.size > 0 && !this.isWaiting) this.wait();
    });
  }

  private look(speaker: T): void {
    if (speaker.isActive) {
      speaker.isActive = false;
      speaker.quietRounds = 0;
      return;
    }
    const patience = speaker.isHeldUp ? SLOW_READER_PATIENCE : 1;
    if (++speaker.quietRounds < this.rounds * patience) return;
    this.speakers.delete(speaker);
    try {
      this.expired(speaker);
    } catch (error) {
      raise(error);
    }
  }
}
