import { connectionsText } from "../base/count_text.ts";
import { guarded } from "../log/guarded.ts";
import type { Upgrade } from "../upgrade/upgrade.ts";
import { logStage, type ServiceState } from "./state.ts";

/** The exit code after an internal error. */
const EXIT_ERROR = 1;
/** The exit code if connections were cut. */
const EXIT_CUT = 3;
/** Maximum time of a stop beyond `--drain-timeout`, in seconds. */
const STOP_MARGIN = 10;
/** How long this process waits for its predecessor beyond their time limit, in milliseconds. */
const PREDECESSOR_GRACE_MS = 2000;

/** Stops the service and ends this process. A step that fails does not prevent the others. */
export class Stop {
  private readonly state: ServiceState;

  constructor(state: ServiceState) {
    this.state = state;
  }

  /**
   * Ends the process when all connections have closed or `--drain-timeout` has elapsed; called
   * again, cuts them. Gives up `upgrade` if it is in progress. `cause` is a clause that begins the
   * message. Never rejected.
   */
  async request(cause: string, upgrade: Upgrade): Promise<void> {
    const { state } = this;
    const { log, options: { predecessor } } = state;
    const master = state.master!;
    if (state.isStopping) {
      await guarded(log, () => predecessor?.cut());
      return master.cut();
    }
    state.isStopping = true;
    const { drainTimeout } = state.command.config;
    await guarded(log, () => this.announce(cause, drainTimeout));
    const abandoned = guarded(log, () => upgrade.abandon());
    state.undo.run();
    const limit = drainTimeout * 1000;
    const [cut] = await Promise.all([
      guarded(log, () => master.stop(limit)),
      guarded(log, () => predecessor?.stop(limit + PREDECESSOR_GRACE_MS)),
      abandoned,
    ]);
    await this.exit(cut);
  }

  /**
   * Ends the process, whose workers have all exited. `cut` is the number of connections that were
   * cut; undefined if it is unknown because of an internal error.
   */
  async exit(cut: number | undefined): Promise<void> {
    const { state } = this;
    const { log } = state;
    if (cut !== undefined) {
      const how = cut === 0
        ? "no connection was cut"
        : `${connectionsText(cut)} ${cut === 1 ? "was" : "were"} cut`;
      logStage(state, "stopped", `all workers have exited; ${how}`, { cut });
    }
    await guarded(log, () => state.admin.stop());
    await guarded(log, () => state.pidFile?.remove());
    await guarded(log, () => log.flush());
    // `process.exit` would wait for threads on Node, one of which may wait for a DNS server.
    state.runtime.libc._exit(cut === undefined ? EXIT_ERROR : cut === 0 ? 0 : EXIT_CUT);
  }

  private announce(cause: string, drainTimeout: number): void {
    const { notifier } = this.state;
    const how = drainTimeout === 0
      ? "cutting open connections"
      : `waiting up to ${drainTimeout} s for open connections; a second signal cuts them`;
    logStage(this.state, "stopping", `${cause}, stopping: ${how}`, { cause });
    notifier.stopping("stopping");
    notifier.extend(drainTimeout + STOP_MARGIN);
  }
}
