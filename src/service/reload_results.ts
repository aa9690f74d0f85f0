import type { ReloadsStatus, ReloadStatus } from "../status/status.ts";

/** The results of reloads that a successor inherits. */
export type ReloadHistory = Omit<ReloadsStatus, "isRunning">;

type Answer = (result: ReloadStatus) => void;

/**
 * The results of all reloads, and the requests that wait for one. A request gets the result of a
 * reload that began to read the files after it.
 */
export class ReloadResults {
  private history: ReloadHistory;
  private isRunning = false;
  private readonly now: () => number;
  /** In milliseconds since 1970. */
  private begunAt = 0;
  /** Those that came before the reload in progress began to read, and those that came later. */
  private answered: Answer[] = [];
  private waiting: Answer[] = [];
  private closedFor: string | undefined;

  /** `now` returns milliseconds since 1970. */
  constructor(
    inherited: ReloadHistory = { succeeded: 0, failed: 0 },
    now: () => number = Date.now,
  ) {
    this.history = inherited;
    this.now = now;
  }

  get status(): ReloadsStatus {
    return { ...this.history, isRunning: this.isRunning };
  }

  /** What a successor inherits. */
  get inheritance(): ReloadHistory {
    return this.history;
  }

  /**
   * Fulfilled with the result of the next reload that begins. Never rejected. No reload may follow
   * if `close` was called: then it is fulfilled at once.
   */
  next(cause: string): Promise<ReloadStatus> {
    const { closedFor } = this;
    if (closedFor !== undefined) return Promise.resolve(this.notRun(cause, closedFor));
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** A reload begins, before it reads any file. */
  begin(): void {
    this.isRunning = true;
    this.begunAt = this.now();
    this.answered.push(...this.waiting);
    this.waiting = [];
  }

  /** The reload has ended. Without `problems` it was successful. */
  end(cause: string, problems: readonly string[]): void {
    const result = problems.length === 0 ? "succeeded" : "failed";
    this.history = { ...this.history, [result]: this.history[result] + 1 };
    this.settle(result, cause, problems);
  }

  /** The reload has to wait, and another one follows. `reason` is one line. */
  postpone(cause: string, reason: string): void {
    this.settle("waiting", cause, [reason]);
  }

  /** No more reloads follow. Answers all requests with this reason, one line. */
  close(reason: string): void {
    this.closedFor = reason;
    this.isRunning = false;
    const waiting = [...this.answered, ...this.waiting];
    this.answered = this.waiting = [];
    for (const answer of waiting) answer(this.notRun("a request", reason));
  }

  private settle(
    result: ReloadStatus["result"],
    cause: string,
    problems: readonly string[],
  ): void {
    const now = this.now();
    const finishedAt = new Date(now).toISOString();
    const seconds = Math.max(0, now - this.begunAt) / 1000;
    const last = { result, cause, finishedAt, seconds, problems };
    this.history = { ...this.history, last };
    this.isRunning = false;
    const { answered } = this;
    this.answered = [];
    for (const answer of answered) answer(last);
  }

  private notRun(cause: string, reason: string): ReloadStatus {
    const finishedAt = new Date(this.now()).toISOString();
    return { result: "failed", cause, finishedAt, seconds: 0, problems: [reason] };
  }
}
