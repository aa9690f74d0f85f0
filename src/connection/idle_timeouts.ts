import { raise } from "../base/raise.ts";
import { type Clock, systemClock } from "../base/clock.ts";

/** Silence is measured in rounds, and so a tenth of the limit too long at most. */
const ROUNDS = 10;
const MIN_ROUND_MS = 10;
/** While a slow reader still has bytes to take, silence may last this many limits. */
const SLOW_READER_PATIENCE = 10;

/** Something that may fall silent. */
export interface IdleHolder {
  /** It sets this whenever it is not silent, which is all that activity costs. */
  isActive: boolean;
  idleRounds: number;
  /** It is silent because a reader takes its bytes slowly. */
  readonly isHeldUp: boolean;
}

/** Finds speakers that were silent too long, by one timer that looks at all of them. */
export class IdleTimeouts<T extends IdleHolder> {
  private readonly holders = new Set<T>();
  private readonly roundMs: number;
  private readonly rounds: number;
  private readonly expired: (holder: T) => void;
  private readonly clock: Clock;
  private isWaiting = false;

  /** `expired` is called once for each speaker that was silent for `seconds`. */
  constructor(seconds: number, expired: (holder: T) => void, clock: Clock = systemClock) {
    this.roundMs = Math.max(seconds * 1000 / ROUNDS, MIN_ROUND_MS);
    this.rounds = Math.ceil(seconds * 1000 / this.roundMs);
    this.expired = expired;
    this.clock = clock;
  }

  start(holder: T): void {
    holder.isActive = true;
    this.holders.add(holder);
    if (!this.isWaiting) this.wait();
  }

  stop(holder: T): void {
    this.holders.delete(holder);
  }

  private wait(): void {
    this.isWaiting = true;
    this.clock.after(this.roundMs, () => {
      this.isWaiting = false;
      for (const holder of this.holders) this.look(holder);
      if (this.holders.size > 0 && !this.isWaiting) this.wait();
    });
  }

  private look(holder: T): void {
    if (holder.isActive) {
      holder.isActive = false;
      holder.idleRounds = 0;
      return;
    }
    const patience = holder.isHeldUp ? SLOW_READER_PATIENCE : 1;
    if (++holder.idleRounds < this.rounds * patience) return;
    this.holders.delete(holder);
    try {
      this.expired(holder);
    } catch (error) {
      raise(error);
    }
  }
}
