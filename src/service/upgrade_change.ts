import { guarded } from "../log/guarded.ts";
import type { Handover } from "../upgrade/handover.ts";
import type { Upgrade } from "../upgrade/upgrade.ts";
import type { Change } from "./change_queue.ts";
import type { ServiceState } from "./state.ts";
import type { Stop } from "./stop.ts";

/** SIGUSR2 as a change of the service: another program takes over, or nothing has changed. */
export class UpgradeChange implements Change {
  private readonly state: ServiceState;
  private readonly upgrade: Upgrade;
  private readonly stop: Stop;

  constructor(state: ServiceState, upgrade: Upgrade, stop: Stop) {
    this.state = state;
    this.upgrade = upgrade;
    this.stop = stop;
  }

  takeRequest(): boolean {
    return this.upgrade.takeRequest();
  }

  /** Fulfilled when the upgrade has failed; after one that has not, this process exits. */
  async run(): Promise<void> {
    const { state } = this;
    const { log } = state;
    const pid = await this.upgrade.begin(this.handover());
    if (state.isStopping) return;
    if (pid !== undefined) return await this.leave(pid);
    // The successor may have got as far as to write its pid there.
    await guarded(log, () => state.pidFile?.write());
    await guarded(log, () => state.master!.keepSockets());
  }

  /** What a successor takes over. */
  private handover(): Handover {
    const { options, pidFile, master, prepareContext } = this.state;
    const tickets = master!.ticketState;
    return {
      isDaemon: options.isDaemon,
      addresses: master!.addresses,
      activated: prepareContext.activated,
      ...(tickets ? { tickets } : {}),
      ...(pidFile ? { pidFile: { path: pidFile.path, fd: pidFile.fd } } : {}),
    };
  }

  /** The successor serves: this process exits after the last connection closes. */
  private async leave(successor: number): Promise<void> {
    const { state } = this;
    const { log } = state;
    await guarded(log, () => state.watch.end());
    await guarded(log, () => {
      state.notifier.mainPid(successor);
      state.notifier.silence();
    });
    await state.master!.handOver();
    if (state.isStopping) return;
    state.isStopping = true;
    await this.stop.exit(0);
  }
}
