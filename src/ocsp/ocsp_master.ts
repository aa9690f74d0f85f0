import { type Clock, systemClock } from "../base/clock.ts";
import type { StapleCommand } from "./staples.ts";
import type { Log } from "../base/log_entry.ts";
import { logChannelFaults } from "../log/channel_faults.ts";
import {
  type ChildRuntime,
  ControlledProcess,
  type ProcessExit,
} from "../control/child_process.ts";
import { exitText } from "../control/exit_text.ts";
import { OCSP_ARGUMENT } from "./command_line.ts";
import {
  type OcspCertificate,
  type OcspCommand,
  type OcspEvent,
  type OcspStart,
  parseOcspEvent,
} from "./messages.ts";

/** The helper's settings and certificates. */
export interface OcspWork extends Omit<OcspStart, "type"> {
  readonly certificates: readonly Omit<OcspCertificate, "type">[];
}

export interface OcspEvents {
  /** A new staple for all workers; it is also in {@link OcspHelper.staples}. */
  staple(staple: StapleCommand): void;
  log: Log;
}

/** The helper's process, seen from the master. */
export type OcspProcess = Pick<
  ControlledProcess<OcspCommand, OcspEvent>,
  "onEvent" | "onExit" | "send" | "kill" | "pid"
>;

/** Staples outlive the helper for hours, and responders must not be flooded with requests. */
const RESTART_MS = 60_000;

/** Keeps the OCSP helper running, in the master. */
export class OcspHelper {
  /** The latest staple of each certificate that has one. */
  readonly staples = new Map<number, StapleCommand>();
  private readonly spawn: (certificates: number) => OcspProcess;
  private readonly events: OcspEvents;
  private readonly clock: Clock;
  private work: OcspWork | undefined;
  private process: OcspProcess | undefined;
  private stopped: (() => void) | undefined;

  /** `spawn` starts a process for a number of certificates. It throws an Error if it cannot. */
  constructor(
    spawn: (certificates: number) => OcspProcess,
    events: OcspEvents,
    clock: Clock = systemClock,
  ) {
    this.spawn = spawn;
    this.events = events;
    this.clock = clock;
  }

  get pid(): number | undefined {
    return this.process?.pid;
  }

  /**
   * Replaces the running helper by one for these certificates. `known` are valid staples for them.
   */
  replace(work: OcspWork, known: readonly StapleCommand[]): void {
    this.killCurrent();
    this.staples.clear();
    for (const staple of known) this.staples.set(staple.certificate, staple);
    this.work = work;
    this.start(work);
  }

  /** Kills the helper: one that hangs would handle no other signal. Resolves when it has exited. */
  stop(): Promise<void> {
    this.work = undefined;
    return new Promise((resolve) => {
      if (!this.process) return resolve();
      this.stopped = resolve;
      this.process.kill("SIGKILL");
    });
  }

  /** Nothing is lost, since the helper writes its files atomically. */
  private killCurrent(): void {
    const { process } = this;
    this.process = undefined;
    if (!process) return;
    process.onEvent = () => {};
    process.onExit = () => {};
    process.kill("SIGKILL");
  }

  private start(work: OcspWork): void {
    if (work !== this.work || work.certificates.length === 0) return;
    const { certificates, ...start } = work;
    let process: OcspProcess;
    try {
      process = this.spawn(certificates.length);
    } catch (error) {
      return this.restart(work, `cannot be started (${(error as Error).message})`);
    }
    this.process = process;
    process.onEvent = (report) => {
      if (report.type === "log") return this.events.log(report.entry);
      this.staples.set(report.certificate, report);
      this.events.staple(report);
    };
    process.onExit = (exit: ProcessExit) => {
      this.process = undefined;
      if (this.stopped) return this.stopped();
      this.restart(work, `ended (${exitText(exit)})`);
    };
    process.send({ type: "start", ...start });
    for (const certificate of certificates) process.send({ type: "certificate", ...certificate });
  }

  private restart(work: OcspWork, what: string): void {
    this.events.log({
      level: "error",
      event: "ocsp-exited",
      message: `the OCSP helper ${what}; restarting it in ${RESTART_MS / 1000} s`,
      facts: {},
    });
    this.clock.after(RESTART_MS, () => this.start(work));
  }
}

/** Starts the helper's process. Throws an Error if it cannot. */
export function spawnOcsp(
  runtime: ChildRuntime,
  certificates: number,
  log: Log,
): OcspProcess {
  return new ControlledProcess(runtime, {
    words: [OCSP_ARGUMENT],
    parse: (value) => parseOcspEvent(value, certificates),
    faults: logChannelFaults(log, { subject: "the OCSP helper", facts: {} }),
  });
}
