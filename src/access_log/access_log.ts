/** The access log in the master: it opens the output, and starts the helper that writes to it. */
import { type Clock, systemClock } from "../base/clock.ts";
import { UsageError } from "../base/errors.ts";
import type { Log } from "../base/log_entry.ts";
import { countText } from "../base/count_text.ts";
import { exitText } from "../control/exit_text.ts";
import type { ProcessExit } from "../control/child_process.ts";
import { O_CLOEXEC, O_NONBLOCK } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import { DropReports } from "./drop_reports.ts";
import type { AccessLogEvent } from "./messages.ts";
import {
  assertNotLog,
  closeOutput,
  isSameFile,
  type OpenedOutput,
  openOutput,
} from "./output_file.ts";
import { unreadLines } from "./unread_lines.ts";
import { type AccessLogPlan, type AccessLogProcess, Writer } from "./writer.ts";

/** Minimum time from the start of a helper to the start of its successor, in milliseconds. */
const RESTART_MS = 1000;

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
  private readonly dependencies: AccessLogDependencies;
  private readonly clock: Clock;
  private readonly plan: AccessLogPlan;
  private readonly reading: number;
  private readonly losses: DropReports;
  private writer: Writer | undefined;
  private startedAt = 0;
  private isRetired = false;
  private isStopping = false;
  private isReopening = false;
  private isFailing = false;
  private hasEnded = false;

  /**
   * Opens the output and starts a helper. Throws a UsageError if that fails, or if the output is the
   * file of the log, `logFile`.
   */
  constructor(dependencies: AccessLogDependencies, plan: AccessLogPlan, logFile: string) {
    const { libc, log, clock = systemClock } = dependencies;
    this.dependencies = dependencies;
    this.clock = clock;
    this.plan = plan;
    this.losses = new DropReports(log, clock);
    const output = this.open(logFile);
    const ends = new Int32Array(2);
    const bytes = new Uint8Array(ends.buffer);
    if (libc.pipe2(bytes, O_CLOEXEC | O_NONBLOCK) !== 0) {
      this.close(output);
      throw new UsageError("--access-log: the limit of open files is reached; raise ulimit -n");
    }
    [this.reading, this.pipe] = [ends[0]!, ends[1]!];
    try {
      this.writer = this.start(output);
      this.writer.begin(false);
    } catch (error) {
      this.close(output);
      libc.close(this.reading);
      libc.close(this.pipe);
      throw new UsageError(`--access-log: cannot start its helper: ${(error as Error).message}`);
    }
  }

  /** Whether another plan has the same output. */
  isFor(plan: AccessLogPlan): boolean {
    return JSON.stringify(plan) === JSON.stringify(this.plan);
  }

  /** Opens the file again after it was renamed or removed. On failure it keeps the old one. */
  reopen(): void {
    const { writer, plan: { output: path } } = this;
    if (writer?.output.file === undefined || this.isReopening || this.hasEnded) return;
    if (isSameFile(writer.output.fd, path)) {
      this.isFailing = false;
      return;
    }
    let output: OpenedOutput;
    try {
      output = openOutput(this.dependencies.libc, path);
    } catch (error) {
      return this.reopenFailed((error as Error).message);
    }
    this.replace(writer, output);
  }

  /** No more workers will be started for it: it ends after the last one. */
  retire(): void {
    if (this.isRetired) return;
    this.isRetired = true;
    this.dependencies.libc.close(this.pipe);
  }

  /**
   * To be called when its workers have exited: kills the helper if that has not written everything in
   * time.
   */
  async stop(): Promise<void> {
    this.retire();
    this.isStopping = true;
    const wasKilled = await this.writer?.inTime();
    const unread = unreadLines(this.dependencies.libc, this.reading);
    if (wasKilled) this.reportKilled(unread);
    else if (unread > 0) this.lost(unread, "its helper had ended");
    this.losses.flush();
    this.end();
  }

  /** Throws a UsageError if the output cannot be opened. */
  private open(logFile: string): OpenedOutput {
    const { output: path } = this.plan;
    if (path === "syslog") return { fd: -1 };
    let output: OpenedOutput;
    try {
      output = openOutput(this.dependencies.libc, path);
    } catch (error) {
      const reason = (error as Error).message;
      throw new UsageError(`--access-log: cannot open ${path}: ${reason}; choose another path`);
    }
    try {
      assertNotLog(output.fd, path, logFile);
    } catch (error) {
      this.close(output);
      throw error;
    }
    return output;
  }

  /** Starts a helper, which waits for `begin`. Throws an Error if none can be started. */
  private start(output: OpenedOutput): Writer {
    const inherited = output.fd < 0 ? [this.reading] : [this.reading, output.fd];
    this.startedAt = this.clock.now();
    const process = this.dependencies.spawn(inherited);
    const writer = new Writer(process, output, this.plan, this.clock);
    writer.onEvent = (event) => this.handle(event);
    writer.onExit = (exit) => this.exited(writer, exit);
    return writer;
  }

  private handle(event: AccessLogEvent): void {
    if (event.type === "log") this.dependencies.log(event.entry);
    else if (event.type === "moved") this.reopen();
    else if (event.type === "lost") {
      this.lost(event.lines, `they cannot be written: ${event.cause}`);
    }
  }

  private lost(lines: number, reason: string): void {
    this.losses.add(lines, reason);
    this.dependencies.lost(lines);
  }

  /** The old helper writes the lines that it has read; the new one begins after that. */
  private replace(old: Writer, output: OpenedOutput): void {
    let next: Writer;
    try {
      next = this.start(output);
    } catch (error) {
      this.close(output);
      return this.reopenFailed((error as Error).message);
    }
    this.isReopening = true;
    this.writer = next;
    const { onEvent, onExit } = next;
    next.onExit = (exit) => {
      this.isReopening = false;
      if (old.hasExited) {
        this.close(old.output);
        return onExit(exit);
      }
      // It was not asked to end, and goes on.
      this.writer = old;
      this.close(output);
      this.reopenFailed(`the new helper ended (${exitText(exit)})`);
    };
    next.onEvent = (event) => {
      if (event.type !== "ready") return onEvent(event);
      Object.assign(next, { onEvent, onExit });
      this.isFailing = false;
      void old.end().then((isTorn) => {
        if (isTorn) this.reportKilled();
        this.close(old.output);
        this.isReopening = false;
        next.begin(isTorn);
      });
    };
  }

  private exited(writer: Writer, exit: ProcessExit): void {
    // Its successor has been started.
    if (writer !== this.writer) return;
    this.writer = undefined;
    if (this.isStopping) return this.close(writer.output);
    // The pipe has ended.
    if (this.isRetired && exit.code === 0) return this.end(writer.output);
    const wait = Math.max(0, this.startedAt + RESTART_MS - this.clock.now());
    const when = wait === 0 ? "at once" : "in a second";
    this.dependencies.log({
      level: "error",
      event: "access-log-exited",
      message: `the access log's helper ended (${exitText(exit)}); another one starts ${when}`,
      facts: {},
    });
    this.clock.after(wait, () => this.restart(writer.output, exit.code !== 0));
  }

  private restart(output: OpenedOutput, isTorn: boolean): void {
    if (this.hasEnded) return;
    try {
      this.writer = this.start(output);
      this.writer.begin(isTorn);
    } catch (error) {
      const message = `cannot start the access log's helper: ${(error as Error).message}; ` +
        "trying again in a second";
      this.dependencies.log({ level: "error", event: "access-log-exited", message, facts: {} });
      this.clock.after(RESTART_MS, () => this.restart(output, isTorn));
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

  private reopenFailed(reason: string): void {
    if (this.isFailing) return;
    this.isFailing = true;
    const { output } = this.plan;
    this.dependencies.log({
      level: "error",
      event: "access-log-not-reopened",
      message: `cannot reopen the access log ${output}: ${reason}; still writing to the old file`,
      facts: { file: output, cause: reason },
    });
  }

  private end(output?: OpenedOutput): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    if (output) this.close(output);
    this.dependencies.libc.close(this.reading);
    this.onEnd();
  }

  private close({ fd }: OpenedOutput): void {
    if (fd >= 0) closeOutput(this.dependencies.libc, this.plan.output, fd);
  }
}
