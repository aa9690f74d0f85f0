/** The master's process from its configuration to its exit. */
import process from "node:process";
import { surviveFaults } from "../base/survive_faults.ts";
import { CertificateWatch } from "../certificates/watch.ts";
import { guarded } from "../log/guarded.ts";
import { internalError } from "../log/internal_error.ts";
import { openLog } from "../log/log.ts";
import { LogRateLimiter } from "../log/rate_limiter.ts";
import type { LogConfig } from "../options/config.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { Notifier, notifySettings } from "../system/notify.ts";
import { Orphans } from "../system/orphans.ts";
import { Upgrade } from "../upgrade/upgrade.ts";
import { AdminEndpoint } from "./admin_endpoint.ts";
import { ChangeQueue } from "./change_queue.ts";
import { Reload } from "./reload.ts";
import { exchangeCounts } from "./late_counts.ts";
import { handleSignals } from "./signals.ts";
import { start } from "./start.ts";
import { makePrepareContext, type ServeOptions, type ServiceState, type Serving } from "./state.ts";
import { fileTimes } from "./configuration_files.ts";
import { RecentGrowth } from "./recent_growth.ts";
import { ReloadResults } from "./reload_results.ts";
import { recentlyLost, statusOf } from "./status.ts";
import { Stop } from "./stop.ts";
import { Undo } from "./undo.ts";
import { UpgradeChange } from "./upgrade_change.ts";

/** How often orphans are collected, in milliseconds. */
const ORPHANS_INTERVAL_MS = 2000;

/** How often lost log lines are looked for, whether or not anybody asks for the status, in milliseconds. */
const LOST_LINES_INTERVAL_MS = 60_000;

/** Starts the service. Fulfilled when it runs; rejected with a UsageError if it cannot start. */
export async function serve(
  runtime: Runtime,
  command: Serving,
  options: ServeOptions,
): Promise<void> {
  await new Service(runtime, command, options).start();
}

/** Connects the parts of the service, which share one state. */
class Service {
  private readonly state: ServiceState;
  private readonly reload: Reload;
  private readonly upgrade: Upgrade;
  private readonly changes: ChangeQueue;
  private readonly stop: Stop;

  constructor(runtime: Runtime, command: Serving, options: ServeOptions) {
    const { libc } = runtime;
    const { config: { dialect, log: logConfig } } = command;
    const prepareContext = makePrepareContext(runtime, options.predecessor);
    const log = openLog(logConfig, { libc, dialect, lost: (lines) => this.linesLost(lines) });
    const state: ServiceState = {
      ...{ runtime, options, prepareContext, log, command },
      notifier: new Notifier(notifySettings(), { libc, log }),
      watch: new CertificateWatch(() => void this.reload.request("certificate files have changed")),
      undo: new Undo(log),
      upgradeFailure: [],
      lostLines: new RecentGrowth(),
      reloads: new ReloadResults(options.predecessor?.handover.reloads),
      admin: new AdminEndpoint(runtime, log, {
        status: () => statusOf(state),
        reload: () => this.reload.request("the admin endpoint was asked to reload"),
        drain: () => this.drain(),
        setLogLevel: (level) => this.setLogLevel(level),
      }, options.predecessor?.handover.admin),
      configuration: { files: fileTimes(command.files), loadedAt: new Date().toISOString() },
      ...{
        master: undefined,
        pidFile: undefined,
        essentials: undefined,
        isStopping: false,
        lateCounts: undefined,
        isReplaced: false,
      },
    };
    this.state = state;
    this.stop = new Stop(state);
    this.upgrade = new Upgrade({
      ...{ runtime, log, program: options.program, pid: process.pid },
      input: () => options.input(),
      // A second request cuts, and a service manager may have sent SIGTERM to this process too.
      onStop: () => state.isStopping || this.requestStop("its successor was stopped"),
    });
    this.reload = new Reload(state, () => void this.changes.run());
    this.changes = new ChangeQueue(log, [
      new UpgradeChange(state, this.upgrade, this.stop),
      this.reload,
    ]);
  }

  async start(): Promise<void> {
    await start(this.state, {
      handleSignals: () => this.handleSignals(),
      stop: (reason) => this.stop.request(reason, this.upgrade),
    });
    this.collectOrphans();
    this.watchLostLines();
    const { predecessor } = this.state.options;
    if (predecessor) predecessor.onExit = () => exchangeCounts(this.state);
    void this.changes.open();
  }

  /** As process 1 of a container. */
  private collectOrphans(): void {
    if (process.pid !== 1) return;
    const { log, runtime } = this.state;
    const orphans = new Orphans(runtime.libc, process.pid);
    setInterval(() => void guarded(log, () => void orphans.collect()), ORPHANS_INTERVAL_MS);
  }

  private watchLostLines(): void {
    const check = () =>
      void guarded(this.state.log, () => void recentlyLost(this.state, Date.now()));
    check();
    setInterval(check, LOST_LINES_INTERVAL_MS);
  }

  private linesLost(lines: number): void {
    const series = { name: "log_lines_dropped_total", labels: { log: "events" } };
    this.state.master?.counts.totals.add(series, lines);
  }

  private requestStop(cause: string): void {
    this.changes.close();
    this.state.reloads.close("stud is stopping");
    void this.stop.request(cause, this.upgrade);
  }

  /** Stops as at SIGTERM. False if it is stopping already: another request cuts nothing. */
  private drain(): boolean {
    if (this.state.isStopping) return false;
    this.requestStop("the admin endpoint was asked to drain");
    return true;
  }

  private setLogLevel(level: LogConfig["level"]): void {
    const { log, master } = this.state;
    log.level = level;
    master!.setLogLevel(level);
    const message = `the log level is ${level} until the next reload`;
    log({ level: "info", event: "log-level-set", message, facts: { logLevel: level } });
  }

  private handleSignals(): void {
    const { state } = this;
    const { log } = state;
    // A fault in the master must not end the service.
    const limiter = new LogRateLimiter(log, () => state.command.config.log.level);
    surviveFaults((error) => limiter.log(internalError(error)));
    handleSignals({
      stop: (cause) => this.requestStop(cause),
      reload: (cause) => void this.reload.request(cause),
      reopenLog: () => {
        void guarded(log, () => log.reopen());
        void guarded(log, () => state.master?.reopenAccessLog());
      },
      upgrade: () => {
        if (this.upgrade.request()) void this.changes.run();
      },
    });
  }
}
