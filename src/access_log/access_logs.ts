import { AccessLog, type AccessLogDependencies } from "./access_log.ts";
import type { AccessLogPlan } from "./writer.ts";

/**
 * The access logs of the configuration in use and of older ones, whose workers go on writing to
 * theirs.
 */
export class AccessLogs {
  private readonly dependencies: AccessLogDependencies;
  private readonly living = new Set<AccessLog>();
  private current: AccessLog | undefined;
  private next: AccessLog | undefined;

  constructor(dependencies: AccessLogDependencies) {
    this.dependencies = dependencies;
  }

  /**
   * Begins to open the access log of a plan; wait for `opened`, and call `use` or `drop` next.
   * Undefined: there is none. Throws a UsageError and changes nothing then. `logFile` is the path of
   * the log, or "".
   */
  open(plan: AccessLogPlan | undefined, logFile: string): void {
    this.next = undefined;
    if (!plan) return;
    if (this.current?.isFor(plan)) {
      this.next = this.current;
      return;
    }
    const opened = new AccessLog(this.dependencies, plan, logFile);
    this.living.add(opened);
    opened.onEnd = () => this.living.delete(opened);
    this.next = opened;
  }

  /** Fulfilled when it is open. Rejected with a UsageError if it cannot be opened. */
  async opened(): Promise<void> {
    await this.next?.opened;
  }

  /** Where the workers of the opened plan write; undefined without an access log. */
  get nextPipe(): number | undefined {
    return this.next?.pipe;
  }

  /** Switches to the opened plan. The workers of the previous one go on writing to theirs. */
  use(): void {
    this.current = this.next;
    this.next = undefined;
    this.current?.reopen();
  }

  /** Closes what was opened. */
  drop(): void {
    this.next = undefined;
    this.check();
  }

  /** To be called once a second: no worker is started any more for those that are not in use. */
  check(): void {
    for (const each of this.living) if (each !== this.current && each !== this.next) each.retire();
  }

  /** Opens the files again, as far as they were renamed or removed. */
  reopen(): void {
    for (const each of this.living) each.reopen();
  }

  /**
   * To be called when all workers have exited: fulfilled when their last lines are written, or after a
   * second.
   */
  async stop(): Promise<void> {
    this.drop();
    await Promise.all([...this.living].map((each) => each.stop()));
  }
}
