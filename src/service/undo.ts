import type { Log } from "../base/log_entry.ts";
import { guarded } from "../log/guarded.ts";

/** Undoes the steps of a change that has begun and is not yet committed. */
export class Undo {
  private readonly log: Log;
  private steps: (() => void)[] = [];

  constructor(log: Log) {
    this.log = log;
  }

  /** Adds the reverse of the step just taken. */
  add(undo: () => void): void {
    this.steps.push(undo);
  }

  /** Undoes all steps, the last one first. Failures are logged. */
  run(): void {
    const { steps } = this;
    this.clear();
    for (const undo of steps.reverse()) void guarded(this.log, undo);
  }

  /** Forgets the steps: the change is committed. */
  clear(): void {
    this.steps = [];
  }
}
