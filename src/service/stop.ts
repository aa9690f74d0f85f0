import process from "node:process";
import { guarded } from "../log/guarded.ts";
import type { Upgrade } from "../upgrade/upgrade.ts";
import { logStage, type ServiceState } from "./state.ts";

/** The exit code after an internal error. */
const EXIT_ERROR = 1;
/** The exit code when connections were cut to end in time. */
const EXIT_CUT = 3;
/** Seconds that a stop may take beyond the time that connections have to end. */
const STOP_MARGIN = 10;
/** A predecessor has its own time limit; this process waits for it so much longer, in milliseconds. */
const PREDECESSOR_GRACE_MS = 2000;

/** Ends the service and this process. No step that fails keeps the others from being taken. */
export class Stop {
  private readonly state: ServiceState;

  constructor(state: ServiceState) {
    this.state = state;
  }

  /**
   * Ends the process when all connections have closed or their time is up; called again, it cuts
   * them. Gives up `upgrade` if one is under way. `signal` is what asked for it. Never rejected.
   */
  async request(signal: string, upgrade: Upgrade): Promise<void> {
    const { state } = this;
    const { log, options: { predecessor } } = state;
    const master = state.master!;
    if (state.isStopping) {
      await guarded(log, () => predecessor?.cut());
      return master.cut();
    }
    state.isStopping = true;
    const { drainTimeout } = state.command.config;
    await guarded(log, () => this.announce(signal, drainTimeout));
    await guarded(log, () => upgrade.abandon());
    state.undo.run();
    const limit = drainTimeout * 1000;
    const [cut] = await Promise.all([
      guarded(log, () => master.stop(limit)),
      guarded(log, () => predecessor?.stop(limit + PREDECESSOR_GRACE_MS)),
    ]);
    await this.exit(cut);
  }

  /**
   * Ends the process, whose workers have all exited. `cut` is the number of connections that were
   * cut; undefined when an internal error hides it.
   */
  async exit(cut: number | undefined): Promise<void> {
    const { state } = this;
    const { log } = state;
    if (cut !== undefined) {
      const how = cut === 0 ? "no connection was cut" : `${cut} connections were cut`;
      logStage(state, "stopped", `all workers have ended; ${how}`, { cut });
    }
    await guarded(log, () => state.pidFile?.remove());
    await guarded(log, () => log.flush());
    process.exit(cut === undefined ? EXIT_ERROR : cut === 0 ? 0 : EXIT_CUT);
  }

  private announce(signal: string, drainTimeout: number): void {
    const { notifier } = this.state;
    const patience = drainTimeout === 0
      ? "cutting open connections"
      : `open connections have ${drainTimeout} s to end, or until a second signal`;
    logStage(this.state, "stopping", `received ${signal}, stopping: ${patience}`, { signal });
    notifier.stopping("stopping");
    notifier.extend(drainTimeout + STOP_MARGIN);
  }
}
