import { type Clock, systemClock } from "../base/clock.ts";
import type { StapleCommand } from "./staples.ts";
import type { Log } from "../base/log_entry.ts";
import { logChannelFaults } from "../log/channel_faults.ts";
import { ControlledProcess, type ProcessExit } from "../control/child_process.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { exitText } from "../control/exit_text.ts";
import { OCSP_ARGUMENT } from "./command_line.ts";
import {
  type OcspCertificate,
  type OcspCommand,
  type OcspEvent,
  type OcspStart,
  parseOcspEvent,
} from "./messages.ts";

/** Everything the helper works on. */
export interface OcspWork extends Omit<OcspStart, "type"> {
  readonly certificates: readonly Omit<OcspCertificate, "type">[];
}

export interface OcspEvents {
  /** For all workers; those that start later find it in {@link OcspHelper.staples}. */
  staple(staple: StapleCommand): void;
  log: Log;
}

/** The helper's process as the master sees it. */
export type OcspProcess = Pick<
  ControlledProcess<OcspCommand, OcspEvent>,
  "onEvent" | "onExit" | "send" | "kill" | "pid"
>;

/** A helper that ends is not missed at once, and responders are not to be asked in a hurry. */
const RESTART_MS = 60_000;

/** The master's end of the OCSP helper, which it keeps running. */
export class OcspHelper {
  /** The last staple of each certificate that has one. */
  readonly staples = new Map<number, StapleCommand>();
  private readonly spawn: (certificates: number) => OcspProcess;
  private readonly events: OcspEvents;
  private readonly clock: Clock;
  private work: OcspWork | undefined;
  private process: OcspProcess | undefined;
  private stopped: (() => void) | undefined;

  /** `spawn` starts a process for that many certificates and throws an Error when none can be had. */
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
   * Starts a helper for these certificates, in place of the one that runs. `known` are staples that
   * are good for them already.
   */
  replace(work: OcspWork, known: readonly StapleCommand[]): void {
    this.retire();
    this.staples.clear();
    for (const staple of known) this.staples.set(staple.certificate, staple);
    this.work = work;
    this.start(work);
  }

  /** Ends the helper for good; fulfilled when it is gone. */
  stop(): Promise<void> {
    this.work = undefined;
    return new Promise((resolve) => {
      if (!this.process) return resolve();
      this.stopped = resolve;
      this.process.kill("SIGTERM");
    });
  }

  /** It has nothing to lose: what it writes to disk is put in place in one step. */
  private retire(): void {
    const { process } = this;
    this.process = undefined;
    if (!process) return;
    process.onEvent = () => {};
    process.onExit = () => {};
    process.kill("SIGTERM");
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
      message: `the OCSP helper ${what}; it is started again in ${RESTART_MS / 1000} s`,
      facts: {},
    });
    this.clock.after(RESTART_MS, () => this.start(work));
  }
}

/** Starts the helper's process. */
export function spawnOcsp(
  runtime: Pick<Runtime, "self" | "workerEnvironment">,
  certificates: number,
  log: Log,
): OcspProcess {
  return new ControlledProcess(runtime, {
    words: [OCSP_ARGUMENT],
    parse: (value) => parseOcspEvent(value, certificates),
    faults: logChannelFaults(log, { subject: "the OCSP helper", facts: {} }),
  });
}
