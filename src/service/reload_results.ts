import type { ReloadInProgress, ReloadsStatus, ReloadStatus } from "../status/status.ts";

/** The results of reloads that a successor inherits. */
export type ReloadHistory = Omit<ReloadsStatus, "isRunning" | "inProgress">;

type Waiting = Omit<ReloadInProgress, "state">;

type Answer = (result: ReloadStatus) => void;

/**
 * The results of all reloads, and the requests that wait for one. A request gets the result of a
 * reload that began to read the files after it.
 */
export class ReloadResults {
  private history: ReloadHistory;
  private running: Waiting | undefined;
  private requested: Waiting | undefined;
  private postponed: Waiting | undefined;
  /** What a requested reload waits for, one line. */
  private obstacle: string | undefined;
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
    const { history, running, requested, postponed, obstacle } = this;
    const reason = running ? "another reload is running" : obstacle;
    const inProgress: ReloadInProgress[] = [
      ...(running ? [{ state: "running", ...running } as const] : []),
      ...(requested
        ? [{ state: "waiting", ...requested, ...(reason ? { reason } : {}) } as const]
        : []),
      ...(postponed ? [{ state: "waiting", ...postponed } as const] : []),
    ];
    return {
      ...history,
      isRunning: running !== undefined,
      ...(inProgress.length > 0 ? { inProgress } : {}),
    };
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
    const { since = new Date(this.now()).toISOString() } = this.requested ?? {};
    this.requested = { cause, since };
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** Requested reloads wait until `release`. `obstacle` is one line. */
  hold(obstacle: string): void {
    this.obstacle = obstacle;
  }

  release(): void {
    this.obstacle = undefined;
  }

  /** The requested reload begins, before it reads any file. */
  begin(cause: string): void {
    this.begunAt = this.now();
    const { since = new Date(this.begunAt).toISOString() } = this.requested ?? {};
    this.running = { cause, since };
    this.requested = undefined;
    this.answered.push(...this.waiting);
    this.waiting = [];
  }

  /** The reload has ended. Without `problems` it was successful. */
  end(cause: string, problems: readonly string[]): void {
    const result = problems.length === 0 ? "succeeded" : "failed";
    // It has read newer files than what was postponed would have to.
    if (result === "succeeded") this.postponed = undefined;
    const last = this.settle(result, cause, problems);
    this.history = { ...this.history, [result]: this.history[result] + 1, last };
  }

  /**
   * The reload has to wait, until `resume` or until another one has succeeded. `reason` is one line.
   */
  postpone(cause: string, reason: string): void {
    const { since } = this.postponed ?? this.running!;
    this.postponed = { cause, since, reason, waitsForRoom: true };
    this.settle("waiting", cause, [reason]);
  }

  /** What was postponed need not wait any longer; a request must follow. */
  resume(): void {
    this.requested ??= this.postponed &&
      { cause: this.postponed.cause, since: this.postponed.since };
    this.postponed = undefined;
  }

  /** No more reloads follow. Answers all requests with this reason, one line. */
  close(reason: string): void {
    this.closedFor = reason;
    this.running = this.requested = this.postponed = undefined;
    const waiting = [...this.answered, ...this.waiting];
    this.answered = this.waiting = [];
    for (const answer of waiting) answer(this.notRun("a request", reason));
  }

  private settle(
    result: ReloadStatus["result"],
    cause: string,
    problems: readonly string[],
  ): ReloadStatus {
    const now = this.now();
    const finishedAt = new Date(now).toISOString();
    const seconds = Math.max(0, now - this.begunAt) / 1000;
    const settled = { result, cause, finishedAt, seconds, problems };
    this.running = undefined;
    const { answered } = this;
    this.answered = [];
    for (const answer of answered) answer(settled);
    return settled;
  }

  private notRun(cause: string, reason: string): ReloadStatus {
    const finishedAt = new Date(this.now()).toISOString();
    return { result: "failed", cause, finishedAt, seconds: 0, problems: [reason] };
  }
}
