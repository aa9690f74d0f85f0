import type { Clock } from "../base/clock.ts";
import type { Dialect } from "../base/dialect.ts";
import type { Log } from "../base/log_entry.ts";
import {
  type ChildRuntime,
  ControlledProcess,
  type ProcessExit,
} from "../control/child_process.ts";
import { logChannelFaults } from "../log/channel_faults.ts";
import { facilityNumber } from "../log/syslog.ts";
import type { Ids } from "../system/ids.ts";
import { ACCESS_LOG_ARGUMENT } from "./command_line.ts";
import {
  type AccessLogCommand,
  type AccessLogEvent,
  type AccessLogOutput,
  parseAccessLogEvent,
} from "./messages.ts";

/** How long a helper may take to write its last lines, in milliseconds. */
const END_LIMIT_MS = 1000;
/** How long one that was killed may take to exit, in milliseconds. */
const KILL_LIMIT_MS = 500;

/** What a helper's process is to the master. */
export type AccessLogProcess = Pick<
  ControlledProcess<AccessLogCommand, AccessLogEvent>,
  "onEvent" | "onExit" | "send" | "kill"
>;

/** The settings of one access log. */
export interface AccessLogPlan {
  /** `syslog`, `-` for standard output, or an absolute path. */
  readonly output: string;
  readonly dialect: Dialect;
  /** That of syslog. */
  readonly facility: string;
  /** The user that helpers become. */
  readonly ids?: Ids;
}

/** A helper, in the master. */
export class Writer {
  onEvent: (event: AccessLogEvent) => void = () => {};
  onExit: (exit: ProcessExit) => void = () => {};
  private readonly process: AccessLogProcess;
  private readonly clock: Clock;
  private readonly exited: Promise<void>;
  private isGone = false;

  /** `process` is new: it opens its output, unless that is the file of the log, and waits for `begin`. */
  constructor(process: AccessLogProcess, plan: AccessLogPlan, logFile: string, clock: Clock) {
    this.process = process;
    this.clock = clock;
    process.onEvent = (event) => this.onEvent(event);
    this.exited = new Promise((resolve) => {
      process.onExit = (exit) => {
        this.isGone = true;
        resolve();
        this.onExit(exit);
      };
    });
    const { ids } = plan;
    process.send({ type: "start", output: outputOf(plan, logFile), ...(ids ? { ids } : {}) });
  }

  get hasExited(): boolean {
    return this.isGone;
  }

  /** Lets it read. `isTorn`: the helper before it was killed, perhaps in the middle of a line. */
  begin(isTorn: boolean): void {
    this.process.send({ type: "begin", isTorn });
  }

  /** Makes it report whether its file was renamed, removed or replaced. */
  check(): void {
    this.process.send({ type: "check" });
  }

  kill(): void {
    if (!this.isGone) this.process.kill("SIGKILL");
  }

  /** Makes it write what it has read, to the end of a line, and exit. Fulfilled as {@link inTime}. */
  end(): Promise<boolean> {
    this.process.send({ type: "end" });
    return this.inTime();
  }

  /**
   * Kills it if it does not exit within a second. Fulfilled when it has, or half a second later, since
   * the kernel may not end a process that waits for a disk: whether it was killed.
   */
  inTime(): Promise<boolean> {
    return new Promise((resolve) => {
      let wasKilled = false;
      this.exited.then(() => resolve(wasKilled));
      this.clock.after(END_LIMIT_MS, () => {
        if (this.isGone) return;
        wasKilled = true;
        this.kill();
        this.clock.after(KILL_LIMIT_MS, () => resolve(wasKilled));
      });
    });
  }
}

function outputOf(
  { output, dialect, facility }: AccessLogPlan,
  logFile: string,
): AccessLogOutput {
  if (output === "-") return "standard output";
  if (output !== "syslog") return { file: output, logFile };
  return { syslog: { facility: facilityNumber(facility, dialect)!, dialect } };
}

/** Starts a helper's process. Throws an Error if it cannot. */
export function spawnAccessLog(
  runtime: ChildRuntime,
  inherited: readonly number[],
  log: Log,
): AccessLogProcess {
  return new ControlledProcess(runtime, {
    words: [ACCESS_LOG_ARGUMENT],
    inherited,
    parse: parseAccessLogEvent,
    faults: logChannelFaults(log, { subject: "the access log's helper", facts: {} }),
  });
}
