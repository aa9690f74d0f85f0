import type { ReloadsStatus, ReloadStatus } from "../status/status.ts";

/** The results of reloads since the start of the service. */
export class ReloadResults {
  private succeeded = 0;
  private failed = 0;
  private begunAt: number | undefined;
  private last: ReloadStatus | undefined;

  get status(): ReloadsStatus {
    const { succeeded, failed, last } = this;
    return { succeeded, failed, isRunning: this.begunAt !== undefined, ...(last ? { last } : {}) };
  }

  begin(): void {
    this.begunAt = performance.now();
  }

  /** A reload that began has ended; it has failed if there are `problems`. */
  end(cause: string, problems: readonly string[]): ReloadStatus {
    const result = problems.length === 0 ? "succeeded" : "failed";
    this[result]++;
    const seconds = (performance.now() - (this.begunAt ?? performance.now())) / 1000;
    this.begunAt = undefined;
    return this.last = { result, cause, finishedAt: new Date().toISOString(), seconds, problems };
  }
}
