import type { Clock } from "../base/clock.ts";
import type { ConnectionFailure } from "../connection/failure.ts";
import type { BackendEvent } from "../worker_protocol/messages.ts";

/** Minimum time between two reports, in milliseconds. */
const REPORT_INTERVAL_MS = 1000;

/** Reports failed connects to the master, and the first one that succeeds after them. */
export class BackendWatch {
  private readonly report: (event: BackendEvent) => boolean;
  private readonly clock: Clock;
  private isDown = false;
  private failure: ConnectionFailure | undefined;
  private failures = 0;
  private failedAt = 0;
  private answeredAt = 0;
  /** There is something to report after the pause. */
  private isDue = false;
  private isPausing = false;

  /** `report` returns false if an event could not be sent; it is tried again. */
  constructor(report: (event: BackendEvent) => boolean, clock: Clock) {
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

  /** Another worker's connect failed: the next success here is to be reported. */
  expectAnswer(): void {
    this.isDown = true;
  }

  /** A connect succeeded. */
  answered(): void {
    if (!this.isDown) return;
    this.isDown = false;
    this.answeredAt = this.clock.now();
    this.changed();
  }

  /** Reports now what is due. */
  flush(): void {
    if (!this.isDue) return;
    this.isDue = false;
    if (this.failure && this.failures > 0) {
      const { failures, failedAt: at, failure: { source, code, cause } } = this;
      const isSent = this.report({ type: "backend-failed", failures, at, source, code, cause });
      if (isSent) this.failures = 0;
      else this.isDue = true;
    }
    if (this.isDown || this.report({ type: "backend-answers", at: this.answeredAt })) return;
    this.isDue = true;
  }

  private changed(): void {
    this.isDue = true;
    if (this.isPausing) return;
    this.flush();
    this.isPausing = true;
    this.clock.after(REPORT_INTERVAL_MS, () => {
      this.isPausing = false;
      if (this.isDue) this.changed();
    });
  }
}
