import { type Clock, systemClock } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import { inTime } from "../base/in_time.ts";
import type { Log } from "../base/log_entry.ts";
import {
  type ChildRuntime,
  ControlledProcess,
  type ProcessExit,
} from "../control/child_process.ts";
import { exitText } from "../control/exit_text.ts";
import { logChannelFaults } from "../log/channel_faults.ts";
import { guarded } from "../log/guarded.ts";
import type { ReloadStatus, Status } from "../status/status.ts";
import type { Privileges } from "../system/ids.ts";
import type { AdminAccess } from "./admin_plan.ts";
import { ADMIN_ARGUMENT } from "./command_line.ts";
import {
  type AdminAction,
  type AdminCommand,
  type AdminEvent,
  MAX_ACTIONS,
  parseAdminEvent,
} from "./messages.ts";

/** What the service does for clients of the endpoint. */
export interface AdminService {
  status(): Status;
  /** Fulfilled when the reload has ended, or with why there is none; never rejected. */
  reload(): Promise<ReloadStatus>;
  /** Begins to stop as at SIGTERM; false if it is stopping already. */
  drain(): boolean;
  /** Until the next reload. */
  setLogLevel(level: 0 | 1 | 2): void;
}

/** A helper's sockets and settings. */
export interface AdminWork {
  readonly sockets: readonly { readonly fd: number; readonly isUnix: boolean }[];
  readonly access: AdminAccess;
  readonly privileges?: Privileges;
}

/** The helper's process, seen from the master. */
export type AdminProcess = Pick<
  ControlledProcess<AdminCommand, AdminEvent>,
  "onEvent" | "onExit" | "offer" | "kill"
>;

/** Pauses before a helper that ended is replaced, in milliseconds: the first, and the longest. */
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;
/** After this time the next end counts as the first. */
const HEALTHY_AFTER_MS = 60_000;
/** Minimum time from one status to the next, in milliseconds. */
const STATUS_INTERVAL_MS = 200;
/** Checks without an event, a second apart, after which a helper is killed. */
const MAX_SILENT_CHECKS = 15;
/** A reload that waits for an older generation goes on by itself. */
const RELOAD_CODES = { succeeded: 200, waiting: 202, failed: 500 } as const;
/** Time that a helper has to send its last answers, in milliseconds. */
const FINISH_LIMIT_MS = 2000;

/**
 * Keeps the admin endpoint's helper running, in the master, which waits for nothing that it does:
 * commands that it does not read are dropped.
 */
export class AdminHelper {
  private readonly spawn: (fds: readonly number[]) => AdminProcess;
  private readonly service: AdminService;
  private readonly log: Log;
  private readonly clock: Clock;
  private work: AdminWork | undefined;
  private process: AdminProcess | undefined;
  private startedAt = 0;
  private pause = 0;
  private silentChecks = 0;
  private pendingActions = 0;
  private statusAt = -Infinity;
  private isStatusDue = false;

  /** `spawn` starts a process with these sockets. It throws an Error if it cannot. */
  constructor(
    spawn: (fds: readonly number[]) => AdminProcess,
    service: AdminService,
    log: Log,
    clock: Clock = systemClock,
  ) {
    this.spawn = spawn;
    this.service = service;
    this.log = log;
    this.clock = clock;
  }

  /** Serves with these sockets and settings; a running helper with the same sockets stays. */
  use(work: AdminWork): void {
    const { work: before, process } = this;
    if (before && process && isSameProcess(before, work)) {
      this.work = work;
      process.offer({ type: "access", access: work.access });
      return;
    }
    void this.finish();
    this.work = work;
    this.pause = 0;
    this.start(work);
  }

  /**
   * Serves no more. Fulfilled when the helper has sent its last answers and has exited, or was killed
   * after two seconds.
   */
  async finish(): Promise<void> {
    const { process } = this;
    this.process = this.work = undefined;
    if (!process) return;
    const exited = new Promise<void>((resolve) => process.onExit = () => resolve());
    process.offer({ type: "finish" });
    await inTime([exited], FINISH_LIMIT_MS);
    process.kill("SIGKILL");
  }

  /** Call it once a second: kills a helper that hangs, so that another one replaces it. */
  check(): void {
    if (!this.process || ++this.silentChecks < MAX_SILENT_CHECKS) return;
    this.silentChecks = 0;
    this.process.kill("SIGKILL");
  }

  private start(work: AdminWork): void {
    if (work !== this.work) return;
    const { sockets, access, privileges } = work;
    let process: AdminProcess;
    try {
      process = this.spawn(sockets.map(({ fd }) => fd));
    } catch (error) {
      return this.restart(`cannot be started (${reasonOf(error)})`);
    }
    this.process = process;
    this.startedAt = this.clock.now();
    this.silentChecks = 0;
    process.onEvent = (event) => this.handle(process, event);
    process.onExit = (exit: ProcessExit) => {
      if (process !== this.process) return;
      this.process = undefined;
      this.restart(`ended (${exitText(exit)})`);
    };
    process.offer({
      type: "start",
      sockets: sockets.map(({ isUnix }) => ({ isUnix })),
      access,
      ...(privileges ? { privileges } : {}),
    });
  }

  private restart(what: string): void {
    if (this.clock.now() - this.startedAt > HEALTHY_AFTER_MS) this.pause = 0;
    this.pause = Math.min(this.pause * 2 || FIRST_PAUSE_MS, MAX_PAUSE_MS);
    const { pause } = this;
    this.log({
      level: "error",
      event: "admin-exited",
      message: `the admin endpoint's helper ${what}; restarting it in ${pause / 1000} s`,
      facts: {},
    });
    this.clock.after(pause, () => {
      // Settings may have changed meanwhile, and it may serve again.
      if (this.work && !this.process) this.start(this.work);
    });
  }

  private handle(process: AdminProcess, event: AdminEvent): void {
    this.silentChecks = 0;
    if (event.type === "log") return this.log(event.entry);
    if (event.type === "status-wanted") return this.statusWanted(process);
    if (event.type === "action") void guarded(this.log, () => this.act(process, event));
  }

  /** However often it is asked, the status is made some times a second at most. */
  private statusWanted(process: AdminProcess): void {
    if (this.isStatusDue) return;
    this.isStatusDue = true;
    const wait = Math.max(0, this.statusAt + STATUS_INTERVAL_MS - this.clock.now());
    const send = () => {
      this.isStatusDue = false;
      this.statusAt = this.clock.now();
      void guarded(this.log, () => {
        process.offer({ type: "status", status: this.service.status() });
      });
    };
    if (wait === 0) send();
    else this.clock.after(wait, send);
  }

  private async act(process: AdminProcess, action: AdminAction): Promise<void> {
    const { number } = action;
    const answer = (code: number, body: unknown) =>
      void process.offer({ type: "answer", number, code, body });
    if (this.pendingActions >= MAX_ACTIONS) {
      return answer(503, { error: "too many requests wait for their answers; try again later" });
    }
    this.pendingActions++;
    try {
      switch (action.action) {
        case "reload": {
          const result = await this.service.reload();
          return answer(RELOAD_CODES[result.result], result);
        }
        case "drain":
          return answer(202, { draining: true, begun: this.service.drain() });
        case "log-level":
          this.service.setLogLevel(action.level);
          return answer(200, { level: action.level });
      }
    } catch (error) {
      answer(500, { error: "internal error; the log has the reason" });
      throw error;
    } finally {
      this.pendingActions--;
    }
  }
}

/** Starts the helper's process. Throws an Error if it cannot. */
export function spawnAdmin(
  runtime: ChildRuntime,
  fds: readonly number[],
  log: Log,
): AdminProcess {
  return new ControlledProcess(runtime, {
    words: [ADMIN_ARGUMENT],
    inherited: fds,
    parse: parseAdminEvent,
    faults: logChannelFaults(log, { subject: "the admin endpoint's helper", facts: {} }),
  });
}

/** Whether they differ at most in what a running helper can change. */
function isSameProcess(a: AdminWork, b: AdminWork): boolean {
  const fixed = ({ sockets, privileges }: AdminWork) => JSON.stringify([sockets, privileges]);
  return fixed(a) === fixed(b);
}
