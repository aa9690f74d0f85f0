/**
 * The access log in the master: its pipe, and the helpers that open the output and write to it. The
 * master itself never touches the file, since a disk can hang.
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { UsageError } from "../base/errors.ts";
import type { Log } from "../base/log_entry.ts";
import { countText } from "../base/count_text.ts";
import { exitText } from "../control/exit_text.ts";
import type { ProcessExit } from "../control/child_process.ts";
import { errnoText } from "../base/error_text.ts";
import { O_CLOEXEC, O_NONBLOCK } from "../os/constants.ts";
import { copyFrom } from "../os/descriptors.ts";
import type { Libc } from "../os/libc.ts";
import { DropReports } from "./drop_reports.ts";
import type { AccessLogEvent } from "./messages.ts";
import { unreadLines } from "./unread_lines.ts";
import { type AccessLogPlan, type AccessLogProcess, Writer } from "./writer.ts";

/** Minimum time from the start of a helper to the start of its successor, in milliseconds. */
const RESTART_MS = 1000;
/** How long the first helper may take to start, and to open the output, in milliseconds. */
const START_LIMIT_MS = 60_000;
const OPEN_LIMIT_MS = 5000;
/** Pause after a file could not be opened again, unless a signal asks for it, in milliseconds. */
const RETRY_MS = 10_000;
const LINES_LOST = "its lines are lost until it can be opened";
const STDOUT = 1;
/** The lowest number that is none of the standard descriptors'. */
const FIRST_FREE = 3;

export interface AccessLogDependencies {
  readonly libc: Libc;
  /** Starts a helper with these descriptors. Throws an Error if it cannot. */
  spawn(inherited: readonly number[]): AccessLogProcess;
  readonly log: Log;
  /** Counts lines that could not be written. */
  lost(lines: number): void;
  readonly clock?: Clock;
}

/**
 * One access log: its pipe, from which one helper after the other reads. It lives until the workers
 * that write to it have exited.
 */
export class AccessLog {
  /** Called when its last worker and its helper have exited. */
  onEnd: () => void = () => {};
  /** Where workers write. */
  readonly pipe: number;
  /** Fulfilled when its first helper has opened the output. Rejected with a UsageError if it cannot. */
  readonly opened: Promise<void>;
  private readonly dependencies: AccessLogDependencies;
  private readonly clock: Clock;
  private readonly plan: AccessLogPlan;
  private readonly logFile: string;
  private readonly reading: number;
  /** A copy of standard output for helpers, since Deno passes that itself to no child; or -1. */
  private readonly standardOutput: number;
  private readonly losses: DropReports;
  private writer: Writer | undefined;
  private startedAt = 0;
  private isRetired = false;
  private isStopping = false;
  private isReopening = false;
  /** What follows from the last attempt to open the file; absent: it was successful. */
  private failure: string | undefined;
  /** Until then a file that was moved stays. */
  private retryAt = 0;
  private hasEnded = false;

  /**
   * Starts a helper, which opens the output; see `opened`. Throws a UsageError if it cannot be started.
   * The output must not be the file of the log, `logFile`.
   */
  constructor(dependencies: AccessLogDependencies, plan: AccessLogPlan, logFile: string) {
    const { libc, log, clock = systemClock } = dependencies;
    this.dependencies = dependencies;
    this.clock = clock;
    this.plan = plan;
    this.logFile = logFile;
    this.losses = new DropReports(log, clock);
    this.standardOutput = plan.output === "-" ? copyFrom(libc, STDOUT, FIRST_FREE) : -1;
    if (plan.output === "-" && this.standardOutput < 0) {
      throw new UsageError(
        `--access-log: cannot open -: ${errnoText(libc.errno())}; choose another path`,
      );
    }
    const ends = new Int32Array(2);
    const bytes = new Uint8Array(ends.buffer);
    if (libc.pipe2(bytes, O_CLOEXEC | O_NONBLOCK) !== 0) {
      this.close(this.standardOutput);
      throw new UsageError("--access-log: the limit of open files is reached; raise ulimit -n");
    }
    [this.reading, this.pipe] = [ends[0]!, ends[1]!];
    try {
      const writer = this.writer = this.start();
      this.opened = this.firstOpened(writer);
    } catch (error) {
      for (const fd of [this.standardOutput, this.reading, this.pipe]) this.close(fd);
      throw new UsageError(`--access-log: cannot start its helper: ${(error as Error).message}`);
    }
  }

  /** Whether another plan has the same output. */
  isFor(plan: AccessLogPlan): boolean {
    return JSON.stringify(plan) === JSON.stringify(this.plan);
  }

  /** Opens the file again if it was renamed, removed or replaced. On failure it keeps the old one. */
  reopen(): void {
    this.retryAt = 0;
    this.writer?.check();
  }

  /** No more workers will be started for it: it ends after the last one. */
  retire(): void {
    if (this.isRetired) return;
    this.isRetired = true;
    this.close(this.pipe);
  }

  /**
   * To be called when its workers have exited: kills the helper if that has not written everything in
   * time.
   */
  async stop(): Promise<void> {
    if (this.hasEnded) return;
    this.retire();
    this.isStopping = true;
    const wasKilled = await this.writer?.inTime();
    const unread = unreadLines(this.dependencies.libc, this.reading);
    if (wasKilled) this.reportKilled(unread);
    else if (unread > 0) this.lost(unread, "its helper had ended");
    this.losses.flush();
    this.end();
  }

  private firstOpened(writer: Writer): Promise<void> {
    const { output } = this.plan;
    const { onEvent, onExit } = writer;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const fail = (problem: string) => {
      this.writer = undefined;
      writer.onEvent = () => {};
      writer.onExit = () => {};
      writer.kill();
      this.retire();
      this.end();
      reject(new UsageError(`--access-log: ${problem}`));
    };
    const cannotOpen = (cause: string) =>
      fail(`cannot open ${output}: ${cause}; choose another path`);
    writer.onExit = (exit) => fail(`its helper ended (${exitText(exit)}); the log may say why`);
    writer.onEvent = (event) => {
      if (event.type === "failed" && event.isLog) {
        fail(`${output} is also given as --log-filename; choose another path`);
      } else if (event.type === "failed") cannotOpen(event.cause);
      else if (event.type === "opening") {
        const seconds = OPEN_LIMIT_MS / 1000;
        within(OPEN_LIMIT_MS, `it takes more than ${seconds} s; check its disk`);
      } else if (event.type !== "ready") onEvent(event);
      else {
        Object.assign(writer, { onEvent, onExit });
        writer.begin(false);
        resolve();
      }
    };
    const within = (limitMs: number, cause: string) =>
      this.clock.after(limitMs, () => {
        if (writer.onExit !== onExit && this.writer === writer) cannotOpen(cause);
      });
    within(START_LIMIT_MS, "the helper that opens it does not start in time");
    // Whoever waits for it also handles it.
    promise.catch(() => {});
    return promise;
  }

  /** Starts a helper, which waits for `begin`. Throws an Error if none can be started. */
  private start(): Writer {
    const { reading, standardOutput } = this;
    const inherited = standardOutput < 0 ? [reading] : [reading, standardOutput];
    this.startedAt = this.clock.now();
    const process = this.dependencies.spawn(inherited);
    const writer = new Writer(process, this.plan, this.logFile, this.clock);
    writer.onEvent = (event) => this.handle(event);
    writer.onExit = (exit) => this.exited(writer, exit);
    return writer;
  }

  private handle(event: AccessLogEvent): void {
    if (event.type === "log") this.dependencies.log(event.entry);
    else if (event.type === "moved") this.moved();
    else if (event.type === "failed") this.reopenFailed(event.cause, LINES_LOST);
    else if (event.type === "ready") this.failure = undefined;
    else if (event.type === "lost") {
      this.lost(event.lines, `they cannot be written: ${event.cause}`);
    }
  }

  private moved(): void {
    const { writer } = this;
    if (!writer || this.isReopening || this.hasEnded || this.clock.now() < this.retryAt) return;
    this.replace(writer);
  }

  private lost(lines: number, reason: string): void {
    this.losses.add(lines, reason);
    this.dependencies.lost(lines);
  }

  /** The old helper writes the lines that it has read; the new one begins after that. */
  private replace(old: Writer): void {
    let next: Writer;
    try {
      next = this.start();
    } catch (error) {
      return this.stays((error as Error).message);
    }
    this.isReopening = true;
    this.writer = next;
    const { onEvent, onExit } = next;
    let cause: string | undefined;
    next.onExit = (exit) => {
      this.isReopening = false;
      if (old.hasExited) return onExit(exit);
      // It was not asked to end, and goes on.
      this.writer = old;
      this.stays(cause ?? `the new helper ended (${exitText(exit)})`);
    };
    next.onEvent = (event) => {
      if (event.type === "failed") return void (cause = event.cause);
      if (event.type !== "ready") return onEvent(event);
      Object.assign(next, { onEvent, onExit });
      this.failure = undefined;
      void old.end().then((isTorn) => {
        if (isTorn) this.reportKilled();
        this.isReopening = false;
        next.begin(isTorn);
      });
    };
  }

  private exited(writer: Writer, exit: ProcessExit): void {
    // Its successor has been started.
    if (writer !== this.writer) return;
    this.writer = undefined;
    if (this.isStopping) return;
    // The pipe has ended.
    if (this.isRetired && exit.code === 0) return this.end();
    const wait = Math.max(0, this.startedAt + RESTART_MS - this.clock.now());
    const when = wait === 0 ? "at once" : "in a second";
    // Why it cannot open the file is logged once.
    if (this.failure !== LINES_LOST) {
      this.dependencies.log({
        level: "error",
        event: "access-log-exited",
        message: `the access log's helper ended (${exitText(exit)}); another one starts ${when}`,
        facts: {},
      });
    }
    this.clock.after(wait, () => this.restart(exit.code !== 0));
  }

  private restart(isTorn: boolean): void {
    if (this.hasEnded) return;
    try {
      this.writer = this.start();
      this.writer.begin(isTorn);
    } catch (error) {
      const message = `cannot start the access log's helper: ${(error as Error).message}; ` +
        "trying again in a second";
      this.dependencies.log({ level: "error", event: "access-log-exited", message, facts: {} });
      this.clock.after(RESTART_MS, () => this.restart(isTorn));
    }
  }

  /** What it had read is lost as well: up to 64 KiB. `unread`: lines that are left in the pipe. */
  private reportKilled(unread?: number): void {
    const rest = unread ? `, and so are ${countText(unread)} more, which it had not read` : "";
    const message = "the access log's helper did not write its last lines in a second, and was " +
      `killed: they are lost${rest}`;
    const facts = unread ? { lines: unread } : {};
    this.dependencies.log({ level: "warn", event: "access-log-dropped", message, facts });
    if (unread) this.dependencies.lost(unread);
  }

  private stays(cause: string): void {
    this.retryAt = this.clock.now() + RETRY_MS;
    this.reopenFailed(cause, "still writing to the old file");
  }

  private reopenFailed(cause: string, consequence: string): void {
    if (this.failure === consequence) return;
    this.failure = consequence;
    const { output } = this.plan;
    this.dependencies.log({
      level: "error",
      event: "access-log-not-reopened",
      message: `cannot reopen the access log ${output}: ${cause}; ${consequence}`,
      facts: { file: output, cause },
    });
  }

  private end(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.close(this.standardOutput);
    this.close(this.reading);
    this.onEnd();
  }

  private close(fd: number): void {
    if (fd >= 0) this.dependencies.libc.close(fd);
  }
}
