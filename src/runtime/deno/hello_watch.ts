import { type Clock, systemClock } from "../../base/clock.ts";

/**
 * Milliseconds between two polls of a stream. The interval doubles after some polls, so that the
 * added delay is a fraction of the time that the client took to send its ClientHello.
 */
const MIN_INTERVAL_MS = 1;
const MAX_INTERVAL_MS = 256;
const POLLS_PER_INTERVAL = 4;

/** The streams that are polled at one interval. */
interface Round<T> {
  readonly interval: number;
  /** Streams, with their number of polls in this round. */
  readonly waiting: Map<T, number>;
  readonly next: Round<T> | undefined;
  isTimed: boolean;
}

/** Polls streams at growing intervals. All streams of one interval share a timer. */
export class HelloWatch<T> {
  private readonly poll: (stream: T) => boolean;
  private readonly clock: Clock;
  private readonly first: Round<T> = roundsFrom(MIN_INTERVAL_MS);

  /** `poll` returns true when the stream needs no more polls. */
  constructor(poll: (stream: T) => boolean, clock = systemClock) {
    this.poll = poll;
    this.clock = clock;
  }

  /** Polls the stream at once and then repeatedly. */
  add(stream: T): void {
    if (!this.poll(stream)) this.enter(this.first, stream);
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
    for (const [stream, polls] of round.waiting) {
      if (this.poll(stream)) {
        round.waiting.delete(stream);
      } else if (round.next && polls + 1 >= POLLS_PER_INTERVAL) {
        round.waiting.delete(stream);
        this.enter(round.next, stream);
      } else {
        round.waiting.set(stream, polls + 1);
      }
    }
    if (round.waiting.size > 0) this.wait(round);
  }
}

function roundsFrom<T>(interval: number): Round<T> {
  const next = interval < MAX_INTERVAL_MS ? roundsFrom<T>(interval * 2) : undefined;
  return { interval, waiting: new Map(), next, isTimed: false };
}
