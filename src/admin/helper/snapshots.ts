import { type Clock, systemClock } from "../../base/clock.ts";
import type { Status } from "../../status/status.ts";

/** The master has not answered in time. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";
}

/** Time in which a status counts as the present one, in milliseconds. */
const FRESH_MS = 250;
/** Maximum time for the master's answer, in milliseconds. */
const ANSWER_LIMIT_MS = 3000;

interface Waiting {
  resolve(status: Status): void;
  reject(error: NoAnswer): void;
}

/** The status documents that the master sends; all clients share one of them at a time. */
export class Snapshots {
  private readonly ask: () => void;
  private readonly clock: Clock;
  private latest: Status | undefined;
  private receivedAt = -Infinity;
  private waiting: Waiting[] = [];

  /** `ask` asks the master for a status. */
  constructor(ask: () => void, clock: Clock = systemClock) {
    this.ask = ask;
    this.clock = clock;
  }

  /** Rejected with a {@link NoAnswer} if the master does not answer within three seconds. */
  get(): Promise<Status> {
    const { latest, clock } = this;
    if (latest && clock.now() - this.receivedAt < FRESH_MS) return Promise.resolve(latest);
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      if (this.waiting.length > 1) return;
      this.ask();
      const asked = this.waiting;
      clock.after(ANSWER_LIMIT_MS, () => {
        if (this.waiting === asked) this.expire();
      });
    });
  }

  received(status: Status): void {
    this.latest = status;
    this.receivedAt = this.clock.now();
    const { waiting } = this;
    this.waiting = [];
    for (const { resolve } of waiting) resolve(status);
  }

  /** The next client gets a new one: an action has changed the service. */
  forget(): void {
    this.receivedAt = -Infinity;
  }

  private expire(): void {
    const { waiting } = this;
    this.waiting = [];
    const error = new NoAnswer(`the master has not answered within ${ANSWER_LIMIT_MS / 1000} s`);
    for (const { reject } of waiting) reject(error);
  }
}
