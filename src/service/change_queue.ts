import type { Log } from "../base/log_entry.ts";
import { guarded } from "../log/guarded.ts";

/** A kind of change of the running service: a reload or an upgrade. */
export interface Change {
  /** True once for each request since the last call, however many there were. */
  takeRequest(): boolean;
  /** Makes the change. A rejection is logged as an internal error. */
  run(): Promise<void>;
}

/** Runs requested changes one at a time, and none before the service has started. */
export class ChangeQueue {
  private readonly log: Log;
  private readonly changes: readonly Change[];
  private isRunning = false;
  private isOpen = false;

  /** Of several requests, that of the first of `changes` is served first. */
  constructor(log: Log, changes: readonly Change[]) {
    this.log = log;
    this.changes = changes;
  }

  /** The service has started: changes that were requested meanwhile begin. Never rejected. */
  async open(): Promise<void> {
    this.isOpen = true;
    await this.run();
  }

  /** Begins no other change. */
  close(): void {
    this.isOpen = false;
  }

  /**
   * Makes the changes that are requested; if one is under way, they follow it. Never rejected, so
   * that no change that fails can keep others from being made.
   */
  async run(): Promise<void> {
    if (this.isRunning) return;
    this.isRunning = true;
    try {
      for (let next = this.next(); next; next = this.next()) await this.make(next);
    } finally {
      this.isRunning = false;
    }
  }

  private next(): Change | undefined {
    return this.isOpen ? this.changes.find((change) => change.takeRequest()) : undefined;
  }

  private async make(change: Change): Promise<void> {
    await guarded(this.log, () => change.run());
  }
}
