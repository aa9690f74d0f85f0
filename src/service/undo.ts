import type { Log } from "../base/log_entry.ts";
import { guarded } from "../log/guarded.ts";

/** The steps of a change that has begun and is not yet committed. */
export class Undo {
  private readonly log: Log;
  private steps: (() => void)[] = [];

  constructor(log: Log) {
    this.log = log;
  }

  /** Adds what undoes the step that has just been taken. */
  add(undo: () => void): void {
    this.steps.push(undo);
  }

  /** Undoes all steps, the last one first. One that fails is logged. */
  run(): void {
    const { steps } = this;
    this.clear();
    for (const undo of steps.reverse()) void guarded(this.log, undo);
  }

  /** The change is committed. */
  clear(): void {
    this.steps = [];
  }
}
