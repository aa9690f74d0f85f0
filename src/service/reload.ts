import { connectionsText } from "../base/count_text.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import type { LogChange } from "../log/log.ts";
import { guarded } from "../log/guarded.ts";
import type { BegunReload } from "../master/reloader.ts";
import type { Prepared } from "../master/prepare.ts";
import type { ListenReport } from "./listen_report.ts";
import type { Change } from "./change_queue.ts";
import { fileTimes } from "./configuration_files.ts";
import type { ConfigurationStatus, ReloadStatus } from "../status/status.ts";
import { keptEssentials, prepareCommand } from "./prepare_command.ts";
import type { Essentials } from "../system/essentials.ts";
import { summaryOf } from "./summary.ts";
import { draftReport, logWarnings } from "./report.ts";
import { logStage, type ServiceState, type Serving } from "./state.ts";

/** Minimum time from one reload to the next, however many signals arrive. */
const RELOAD_INTERVAL_MS = 1000;

/** A configuration that has been read again and prepared. */
interface PreparedReload {
  readonly command: Serving;
  readonly prepared: Prepared;
  readonly files: ConfigurationStatus["files"];
  readonly essentials: Essentials;
}

/** A reload whose steps that can fail are done and can still be undone. */
interface ReadyReload extends PreparedReload {
  readonly log: LogChange;
  readonly report: ListenReport | undefined;
  readonly begun: BegunReload;
}

/**
 * Reloads the configuration in three phases: `prepare` reads and checks it and changes nothing,
 * `begin` takes the steps that can fail and can be undone, `commit` does the rest and cannot fail.
 */
export class Reload implements Change {
  private readonly state: ServiceState;
  private readonly onRequest: () => void;
  private isRequested = false;
  /** Why the next reload begins; starts a log message. */
  private cause = "";

  /** `onRequest` is called when a reload is requested. */
  constructor(state: ServiceState, onRequest: () => void) {
    this.state = state;
    this.onRequest = onRequest;
  }

  /**
   * Requests a reload. If one is in progress, which may have read older files, another one follows,
   * for all requests that arrive meanwhile. Fulfilled with the result of the reload that reads the
   * files after this call; if that has to wait until an older generation has ended, with that result
   * at once. Never rejected. `cause` is a clause that begins log messages.
   */
  request(cause: string): Promise<ReloadStatus> {
    const result = this.state.reloads.next(cause);
    this.isRequested = true;
    this.cause = cause;
    this.onRequest();
    return result;
  }

  takeRequest(): boolean {
    const { isRequested } = this;
    this.isRequested = false;
    return isRequested;
  }

  async run(): Promise<void> {
    const { state } = this;
    const pause = new Promise((resolve) => setTimeout(resolve, RELOAD_INTERVAL_MS));
    await guarded(state.log, () => state.notifier.reloading());
    await this.reload();
    if (!state.isStopping) {
      await guarded(state.log, () => state.notifier.ready(summaryOf(state)));
    }
    await guarded(state.log, () => state.runtime.collectGarbage(true));
    await pause;
  }

  private async reload(): Promise<void> {
    const { cause, state: { reloads } } = this;
    reloads.begin(cause);
    logStage(this.state, "reloading", `${cause}, reloading the configuration`, { cause });
    let ready: ReadyReload | undefined;
    try {
      const prepared = await this.prepare();
      ready = prepared && await this.begin(prepared);
    } catch (error) {
      this.state.undo.run();
      this.logFailure(error);
      reloads.end(cause, problemsOf(error));
    }
    if (!ready) return;
    await this.commit(ready);
    reloads.end(cause, []);
  }

  /**
   * Undefined if it must wait or a stop has begun. Rejected with a UsageError if the configuration
   * is invalid.
   */
  private async prepare(): Promise<PreparedReload | undefined> {
    const { options, watch, prepareContext, master } = this.state;
    const command = options.read();
    if (command.kind !== "run") throw new UsageError("there is no configuration to reload");
    const files = fileTimes(command.files);
    // Invalid files are watched too, so that they are loaded once they are corrected.
    if (command.config.watch) await watch.begin(command.config);
    const prepared = await prepareCommand(prepareContext, command);
    const essentials = keptEssentials(this.state.essentials, command, prepared);
    if (this.state.isStopping) return undefined;
    if (master!.hasRoomFor(prepared)) return { command, prepared, files, essentials };
    this.waitForRoom(command.config.maxGenerations);
    // What was prepared is dropped: the next reload reads the files again.
    return undefined;
  }

  /** Rejected with a UsageError if a step fails; `undo` has the steps before it. */
  private async begin(reload: PreparedReload): Promise<ReadyReload> {
    const { command, prepared } = reload;
    const { undo, log: current, master } = this.state;
    const log = current.prepare(command.config.log);
    undo.add(() => log.drop());
    const report = draftReport(command.config, prepared.listeners);
    if (report) undo.add(() => report.drop());
    this.state.admin.begin(prepared.admin);
    undo.add(() => this.state.admin.drop());
    // The last step, since new workers accept connections that a later failure would lose.
    return { ...reload, log, report, begun: await master!.begin(prepared) };
  }

  /** Never rejected: a step that fails is logged, and the next one is taken. */
  private async commit(ready: ReadyReload): Promise<void> {
    const { command, prepared, files, essentials, log, report, begun } = ready;
    const { state } = this;
    state.undo.clear();
    state.command = command;
    state.essentials = essentials;
    state.upgradeFailure = [];
    state.configuration = { files, loadedAt: new Date().toISOString() };
    const { level } = state.log;
    await guarded(state.log, () => log.commit());
    // It may have been set by the admin endpoint, in workers that stay.
    if (level !== state.log.level) state.master!.setLogLevel(state.log.level);
    await state.master!.commit(begun);
    // What waited for room is done with this one.
    state.master!.generations.onRoom = () => {};
    // Nothing starts workers of the previous configuration any more.
    await guarded(state.log, () => state.prepareContext.certificates.use());
    await guarded(state.log, () => state.admin.use());
    if (!command.config.watch) await guarded(state.log, () => state.watch.end());
    logWarnings(state, prepared);
    await guarded(state.log, () => report?.publish());
  }

  /** The limit of generations is reached: requests another reload when a generation has ended. */
  private waitForRoom(limit: number): void {
    const { generations } = this.state.master!;
    const { connections } = generations.census();
    const message = `the reload waits until an older generation has ended: ${limit} are running ` +
      `(--max-generations), and the older ones have ${connectionsText(connections)}; ` +
      "--reload-drain-timeout limits how long these stay open";
    const facts = { limit, connections };
    this.state.log({ level: "warn", event: "reload-waits", message, facts });
    this.state.reloads.postpone(this.cause, message);
    generations.onRoom = () => {
      generations.onRoom = () => {};
      this.state.reloads.resume();
      void this.request("an older generation has ended");
    };
  }

  private logFailure(error: unknown): void {
    // A stop gives up the reload, which is not a failure.
    if (this.state.isStopping) return;
    for (const problem of problemsOf(error)) {
      const message = `the configuration was not reloaded, nothing has changed: ${problem}`;
      this.state.log({ level: "error", event: "reload-failed", message, facts: {} });
    }
  }
}

function problemsOf(error: unknown): readonly string[] {
  return error instanceof UsageError
    ? error.problems
    : [`internal error: ${reasonOf(error)}; please report it`];
}
