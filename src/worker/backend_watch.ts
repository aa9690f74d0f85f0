import type { Clock } from "../base/clock.ts";
import type { ConnectionFailure } from "../connection/failure.ts";
import type { BackendEvent } from "../worker_protocol/messages.ts";

/** However often connects fail, a worker speaks of it once in this time. */
const PAUSE_MS = 1000;

/** Tells the master of connects that fail, and of the first one that does not. */
export class BackendWatch {
  private readonly report: (report: BackendEvent) => boolean;
  private readonly clock: Clock;
  private isDown = false;
  private failure: ConnectionFailure | undefined;
  private failures = 0;
  private failedAt = 0;
  private answeredAt = 0;
  /** There is something to tell when the pause is over. */
  private isDue = false;
  private isWaiting = false;

  /** `report` answers false when a report could not be sent; it is tried again. */
  constructor(report: (report: BackendEvent) => boolean, clock: Clock) {
    this.report = report;
    this.clock = clock;
  }

  /** A connect failed. */
  failed(failure: ConnectionFailure): void {
    this.isDown = true;
    this.failure = failure;
    this.failures++;
    this.failedAt = this.clock.now();
    this.changed();
  }

  /** Another worker's connect failed: the first that goes well here is news as well. */
  expectAnswer(): void {
    this.isDown = true;
  }

  /** A connect went well. */
  answered(): void {
    if (!this.isDown) return;
    this.isDown = false;
    this.answeredAt = this.clock.now();
    this.changed();
  }

  /** Tells now what there is to tell. */
  flush(): void {
    if (!this.isDue) return;
    this.isDue = false;
    if (this.failure && this.failures > 0) {
      const { failures, failedAt: at, failure: { source, code, cause } } = this;
      const isTold = this.report({ type: "backend-failed", failures, at, source, code, cause });
      if (isTold) this.failures = 0;
      else this.isDue = true;
    }
    if (this.isDown || this.report({ type: "backend-answers", at: this.answeredAt })) return;
    this.isDue = true;
  }

  private changed(): void {
    this.isDue = true;
    if (this.isWaiting) return;
    this.flush();
    this.isWaiting = true;
    this.clock.after(PAUSE_MS, () => {
      this.isWaiting = false;
      if (this.isDue) this.changed();
    });
  }
}
