/** SIGUSR2 in the process that is replaced. */
import type { EventName } from "../base/events.ts";
import type { Log, LogEntry } from "../base/log_entry.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Handover } from "./handover.ts";
import type { Program } from "./program.ts";
import { spawnSuccessor, type Successor } from "./successor.ts";

export interface UpgradeDependencies {
  readonly runtime: Pick<Runtime, "libc" | "self">;
  readonly log: Log;
  readonly program: Program;
  /** This process's. */
  readonly pid: number;
  /** The text read from standard input; undefined if nothing was read. */
  input(): string | undefined;
  /** Called when the successor was stopped: this process, if it still serves, should stop too. */
  onStop(): void;
}

/** Starts a successor of this process, which may be another version. Only one can take over. */
export class Upgrade {
  private readonly dependencies: UpgradeDependencies;
  private successor: Successor | undefined;
  private isRequested = false;
  /** Why the last attempt failed, one line for each reason; empty if there was none. */
  failure: readonly string[] = [];
  /** The successor has taken over. */
  private isDone = false;

  constructor(dependencies: UpgradeDependencies) {
    this.dependencies = dependencies;
  }

  /**
   * Requests an upgrade. False, with a warning in the log, if one is in progress or done, or if no
   * process can outlive this one.
   */
  request(): boolean {
    const { successor } = this;
    const isFirst = this.dependencies.pid === 1;
    if (!isFirst && !this.isRequested && !successor) return this.isRequested = true;
    const reason = isFirst
      ? "this is process 1 of its container, which ends with it; start another container instead"
      : this.isDone
      ? `process ${successor!.pid} has already taken over; send it the signal`
      : "an upgrade is already in progress";
    this.note("warn", "upgrade-ignored", `received SIGUSR2: ${reason}`);
    return false;
  }

  /** Whether an upgrade was requested since the last call; then call {@link begin}. */
  takeRequest(): boolean {
    const { isRequested } = this;
    this.isRequested = false;
    return isRequested;
  }

  /**
   * Starts a successor and returns its pid once it serves. If it cannot serve, logs why and returns
   * undefined; it has then exited, and nothing has changed.
   */
  async begin(handover: Handover): Promise<number | undefined> {
    const problems = await this.attempt(handover);
    const pid = this.successor?.pid;
    if (problems.length === 0) {
      this.isDone = true;
      const message = `process ${pid} has taken over; this process exits after its last ` +
        "connection closes";
      this.note("info", "upgraded", message, { pid: pid! });
      return pid;
    }
    this.successor = undefined;
    this.failure = problems;
    for (const problem of problems) {
      const message = `the upgrade failed, nothing has changed: ${problem}`;
      this.note("error", "upgrade-failed", message);
    }
    return undefined;
  }

  /** Gives up an upgrade that is in progress. Fulfilled when its process has ended. */
  async abandon(): Promise<void> {
    if (!this.isDone) await this.successor?.stop();
  }

  private async attempt(handover: Handover): Promise<readonly string[]> {
    const { runtime, program, input, onStop } = this.dependencies;
    const text = input();
    const command = program.command.join(" ");
    this.note("info", "upgrading", `starting ${command} to replace this process`);
    try {
      this.successor = spawnSuccessor(runtime, program, {
        handover,
        onStop,
        ...(text === undefined ? {} : { input: text }),
      });
      return await this.successor.problems;
    } catch (error) {
      return [`cannot start the new process: ${(error as Error).message}`];
    }
  }

  private note(
    level: LogEntry["level"],
    event: EventName,
    message: string,
    facts: LogEntry["facts"] = {},
  ): void {
    this.dependencies.log({ level, event, message, facts });
  }
}
