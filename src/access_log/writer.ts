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
import { type AccessLogCommand, type AccessLogEvent, parseAccessLogEvent } from "./messages.ts";
import type { OpenedOutput } from "./output_file.ts";

/** How long a helper may take to write its last lines, in milliseconds. */
const END_LIMIT_MS = 1000;

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

/** A helper with what it writes to, in the master. */
export class Writer {
  onEvent: (event: AccessLogEvent) => void = () => {};
  onExit: (exit: ProcessExit) => void = () => {};
  readonly output: OpenedOutput;
  private readonly process: AccessLogProcess;
  private readonly clock: Clock;
  private readonly exited: Promise<void>;
  private isGone = false;

  /** `process` is new; it waits for `begin`. */
  constructor(process: AccessLogProcess, output: OpenedOutput, plan: AccessLogPlan, clock: Clock) {
    this.process = process;
    this.output = output;
    this.clock = clock;
    process.onEvent = (event) => this.onEvent(event);
    this.exited = new Promise((resolve) => {
      process.onExit = (exit) => {
        this.isGone = true;
        resolve();
        this.onExit(exit);
      };
    });
    const { dialect, facility, ids } = plan;
    const { fd, file } = output;
    process.send({
      type: "start",
      ...(fd < 0 ? { syslog: { facility: facilityNumber(facility, dialect)!, dialect } } : {}),
      ...(file === undefined ? {} : { file }),
      ...(ids ? { ids } : {}),
    });
  }

  get hasExited(): boolean {
    return this.isGone;
  }

  /** Lets it read. `isTorn`: the helper before it was killed, perhaps in the middle of a line. */
  begin(isTorn: boolean): void {
    this.process.send({ type: "begin", isTorn });
  }

  /** Makes it write what it has read, to the end of a line, and exit. Fulfilled as {@link inTime}. */
  end(): Promise<boolean> {
    this.process.send({ type: "end" });
    return this.inTime();
  }

  /** Kills it if it does not exit within a second. Fulfilled when it has: whether it was killed. */
  async inTime(): Promise<boolean> {
    let wasKilled = false;
    this.clock.after(END_LIMIT_MS, () => {
      if (this.isGone) return;
      wasKilled = true;
      this.process.kill("SIGKILL");
    });
    await this.exited;
    return wasKilled;
  }
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
