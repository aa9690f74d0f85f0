import type { Log } from "../base/log_entry.ts";
import { guarded } from "../log/guarded.ts";

/** A kind of change to the running service: a reload or an upgrade. */
export interface Change {
  /** Whether the change was requested, once or more often, since the last call. */
  takeRequest(): boolean;
  /** Makes the change. A rejection is logged as an internal error. */
  run(): Promise<void>;
}

/** Runs requested changes one at a time, starting when the service has started. */
export class ChangeQueue {
  private readonly log: Log;
  private readonly changes: readonly Change[];
  private isRunning = false;
  private isOpen = false;

  /** If several changes are requested, they run in the order of `changes`. */
  constructor(log: Log, changes: readonly Change[]) {
    this.log = log;
    this.changes = changes;
  }

  /** Runs changes from now on, beginning with those already requested. Never rejected. */
  async open(): Promise<void> {
    this.isOpen = true;
    await this.run();
  }

  /** Starts no more changes. */
  close(): void {
    this.isOpen = false;
  }

  /**
   * Runs the requested changes, after the one in progress if there is one. Never rejected: a change
   * that fails does not prevent others.
   */
  async run(): Promise<void> {
    if (this.isRunning) return;
    this.isRunning = true;
    try {
      for (let next = this.next(); next; next = this.next()) await this.runOne(next);
    } finally {
      this.isRunning = false;
    }
  }

  private next(): Change | undefined {
    return this.isOpen ? this.changes.find((change) => change.takeRequest()) : undefined;
  }

  private async runOne(change: Change): Promise<void> {
    await guarded(this.log, () => change.run());
  }
}
