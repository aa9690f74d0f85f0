/** SIGUSR2, from the side of the program that is replaced. */
import type { Log, LogEntry } from "../base/log_entry.ts";
import type { Libc } from "../os/libc.ts";
import type { Handover } from "./handover.ts";
import type { Program } from "./program.ts";
import { spawnSuccessor, type Successor } from "./successor.ts";

export interface UpgradeDependencies {
  readonly libc: Libc;
  readonly log: Log;
  readonly program: Program;
  /** What was read from standard input, if anything was. */
  input(): string | undefined;
  /** The successor was stopped, and who still serves connections here should end as well. */
  onStop(): void;
}

/** Starts another version of the program in the place of this one. One at a time, and one at most. */
export class Upgrade {
  private readonly dependencies: UpgradeDependencies;
  private successor: Successor | undefined;
  private isWanted = false;
  private isOver = false;

  constructor(dependencies: UpgradeDependencies) {
    this.dependencies = dependencies;
  }

  /** Notes that one is asked for. False, with a line for the operator, while that has no use. */
  want(): boolean {
    const { successor } = this;
    if (!this.isWanted && !successor) return this.isWanted = true;
    const reason = this.isOver
      ? `process ${successor!.pid} has already taken over: send it the signal`
      : "another program is being started already";
    this.note("warn", "upgrade-ignored", `received SIGUSR2: ${reason}`);
    return false;
  }

  /** True when one is asked for, which is to {@link begin} now. */
  takeRequest(): boolean {
    const { isWanted } = this;
    this.isWanted = false;
    return isWanted;
  }

  /**
   * The pid of the program that serves now. Undefined when it does not, for reasons which are
   * logged; it has then ended, and nothing has changed.
   */
  async begin(handover: Handover): Promise<number | undefined> {
    const problems = await this.attempt(handover);
    const pid = this.successor?.pid;
    if (problems.length === 0) {
      this.isOver = true;
      const message = `process ${pid} has taken over; this one leaves with its last connection`;
      this.note("info", "upgraded", message, { pid: pid! });
      return pid;
    }
    this.successor = undefined;
    for (const problem of problems) {
      const message = `the program was not replaced, nothing has changed: ${problem}`;
      this.note("error", "upgrade-failed", message);
    }
    return undefined;
  }

  /** Gives up one that is under way. */
  abandon(): void {
    if (!this.isOver) this.successor?.stop();
  }

  private async attempt(handover: Handover): Promise<readonly string[]> {
    const { libc, program, input, onStop } = this.dependencies;
    const text = input();
    this.note("info", "upgrading", `starting ${program.command.join(" ")} in place of this one`);
    try {
      this.successor = spawnSuccessor(libc, program, {
        handover,
        onStop,
        ...(text === undefined ? {} : { input: text }),
      });
      return await this.successor.problems;
    } catch (error) {
      return [`cannot start the new program: ${(error as Error).message}`];
    }
  }

  private note(
    level: LogEntry["level"],
    event: string,
    message: string,
    facts: LogEntry["facts"] = {},
  ): void {
    this.dependencies.log({ level, event, message, facts });
  }
}
