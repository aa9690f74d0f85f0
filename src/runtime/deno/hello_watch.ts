import { type Clock, systemClock } from "../../base/clock.ts";

/**
 * How long a stream waits between two looks, in milliseconds, and after how many looks it waits for
 * twice as long. So a ClientHello is found late by an eighth of the time that its client took at
 * most, and by no more than the longest interval.
 */
const SHORTEST_INTERVAL = 1;
const LONGEST_INTERVAL = 256;
const LOOKS_AT_EACH = 4;

/** All that wait equally long between two looks. */
interface Round<T> {
  readonly interval: number;
  /** With the number of looks in this round. */
  readonly waiting: Map<T, number>;
  readonly next: Round<T> | undefined;
  isTimed: boolean;
}

/**
 * Looks at streams until there is something to see. Those that are silent for long share one timer,
 * however many they are.
 */
export class HelloWatch<T> {
  private readonly look: (stream: T) => boolean;
  private readonly clock: Clock;
  private readonly first: Round<T> = roundsFrom(SHORTEST_INTERVAL);

  /** `look` answers true when the stream needs no further look. */
  constructor(look: (stream: T) => boolean, clock = systemClock) {
    this.look = look;
    this.clock = clock;
  }

  /** Looks at once, and then again and again. */
  add(stream: T): void {
    if (!this.look(stream)) this.enter(this.first, stream);
  }

  private enter(round: Round<T>, stream: T): void {
    round.waiting.set(stream, 0);
    if (!round.isTimed) this.wait(round);
  }

  private wait(round: Round<T>): void {
    round.isTimed = true;
    this.clock.after(round.interval, () => this.sweep(round));
  }

  private sweep(round: Round<T>): void {
    round.isTimed = false;
    for (const [stream, looks] of round.waiting) {
      if (this.look(stream)) {
        round.waiting.delete(stream);
      } else if (round.next && looks + 1 >= LOOKS_AT_EACH) {
        round.waiting.delete(stream);
        this.enter(round.next, stream);
      } else {
        round.waiting.set(stream, looks + 1);
      }
    }
    if (round.waiting.size > 0) this.wait(round);
  }
}

function roundsFrom<T>(interval: number): Round<T> {
  const next = interval < LONGEST_INTERVAL ? roundsFrom<T>(interval * 2) : undefined;
  return { interval, waiting: new Map(), next, isTimed: false };
}
