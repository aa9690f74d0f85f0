import process from "node:process";
import { guarded } from "../log/guarded.ts";
import { openLateCounts } from "../upgrade/late_counts.ts";
import type { Handover } from "../upgrade/handover.ts";
import type { Upgrade } from "../upgrade/upgrade.ts";
import { exchangeCounts } from "./late_counts.ts";
import type { Change } from "./change_queue.ts";
import type { ServiceState } from "./state.ts";
import type { Stop } from "./stop.ts";

/** How often a draining process leaves its counts to its successor, in milliseconds. */
const EXCHANGE_INTERVAL_MS = 1000;

/** SIGUSR2 as a change to the service: a new process takes over, or nothing changes. */
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

  /** Fulfilled if the upgrade has failed; after a successful one this process exits. */
  async run(): Promise<void> {
    const { reloads } = this.state;
    reloads.hold("an upgrade is in progress");
    try {
      await this.replace();
    } finally {
      reloads.release();
    }
  }

  private async replace(): Promise<void> {
    const { state } = this;
    const { log } = state;
    await guarded(log, () => void (state.lateCounts = openLateCounts(state.runtime.libc)));
    const pid = await this.upgrade.begin(this.handover());
    if (state.isStopping) return;
    if (pid !== undefined) return await this.drain(pid);
    if (state.lateCounts !== undefined) state.runtime.libc.close(state.lateCounts);
    state.lateCounts = undefined;
    state.upgradeFailure = this.upgrade.failure;
    // The successor may have written its pid already.
    await guarded(log, () => state.pidFile?.write());
    await guarded(log, () => state.master!.keepSockets());
  }

  /** What is passed to a successor. */
  private handover(): Handover {
    const { options, pidFile, master, admin, prepareContext, essentials, reloads, lateCounts } =
      this.state;
    const tickets = master!.ticketState;
    return {
      pid: process.pid,
      isDaemon: options.isDaemon,
      addresses: master!.addresses,
      activated: prepareContext.activated,
      admin: admin.held,
      reloads: reloads.inheritance,
      counts: master!.counts.handed,
      ...(lateCounts === undefined ? {} : { lateCounts }),
      ...(essentials ? { essentials } : {}),
      ...(tickets ? { tickets } : {}),
      ...(pidFile ? { pidFile: { path: pidFile.path, fd: pidFile.fd } } : {}),
    };
  }

  /** Drains this process and ends it: the successor serves. */
  private async drain(successor: number): Promise<void> {
    const { state } = this;
    const { log } = state;
    state.isReplaced = true;
    state.reloads.close(`process ${successor} has taken over; ask it`);
    await guarded(log, () => state.watch.end());
    await guarded(log, () => {
      state.notifier.mainPid(successor);
      state.notifier.silence();
    });
    const answered = guarded(log, () => state.admin.handOver());
    exchangeCounts(state);
    const exchange = setInterval(() => exchangeCounts(state), EXCHANGE_INTERVAL_MS);
    await Promise.all([state.master!.handOver(), answered]);
    clearInterval(exchange);
    exchangeCounts(state);
    if (state.isStopping) return;
    state.isStopping = true;
    await this.stop.exit(0);
  }
}
