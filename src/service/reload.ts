import { reasonOf, UsageError } from "../base/errors.ts";
import type { LogChange } from "../log/log.ts";
import { guarded } from "../log/guarded.ts";
import type { BegunReload } from "../master/master.ts";
import { prepare, type Prepared } from "../master/prepare.ts";
import type { ListenReport } from "./listen_report.ts";
import type { Change } from "./change_queue.ts";
import { draftReport, logWarnings } from "./report.ts";
import { logStage, type ServiceState, type Serving } from "./state.ts";

/** The shortest time from one reload to the next, however many signals come. */
const RELOAD_INTERVAL_MS = 1000;

/** A configuration that was read again and prepared. */
interface PreparedReload {
  readonly command: Serving;
  readonly prepared: Prepared;
}

/** Everything that can fail is done, and all of it can still be undone. */
interface ReadyReload extends PreparedReload {
  readonly log: LogChange;
  readonly report: ListenReport | undefined;
  readonly begun: BegunReload;
}

/**
 * Reloads the configuration in three phases: `prepare` reads and checks and changes nothing, `begin`
 * takes the steps that can fail and can be undone, and `commit`, which cannot fail, does the rest.
 */
export class Reload implements Change {
  private readonly state: ServiceState;
  private readonly onRequest: () => void;
  private isRequested = false;
  /** Why the next reload begins, as the beginning of a log line. */
  private cause = "";

  /** `onRequest` is called when a reload is requested. */
  constructor(state: ServiceState, onRequest: () => void) {
    this.state = state;
    this.onRequest = onRequest;
  }

  /**
   * What a reload that is under way loads may be out of date already, so that another one follows:
   * one for all requests that come meanwhile.
   */
  request(cause: string): void {
    this.isRequested = true;
    this.cause = cause;
    this.onRequest();
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
      await guarded(state.log, () => state.notifier.ready(state.master!.summary));
    }
    await guarded(state.log, () => state.runtime.collectGarbage(true));
    await pause;
  }

  private async reload(): Promise<void> {
    const { cause } = this;
    logStage(this.state, "reloading", `${cause}, reloading the configuration`, { cause });
    let ready: ReadyReload | undefined;
    try {
      const prepared = await this.prepare();
      ready = prepared && await this.begin(prepared);
    } catch (error) {
      this.state.undo.run();
      this.logFailure(error);
    }
    if (ready) await this.commit(ready);
  }

  /** Undefined when it has to wait, or a stop has begun. Rejected with a UsageError when the configuration is wrong. */
  private async prepare(): Promise<PreparedReload | undefined> {
    const { options, watch, prepareContext, master } = this.state;
    const command = options.read();
    if (command.kind !== "run") throw new UsageError("there is no configuration to reload");
    // A file that is broken is watched, so that it is loaded when it has been mended.
    if (command.config.watch) await watch.begin(command.config);
    const prepared = await prepare(prepareContext, command.config);
    if (this.state.isStopping) return undefined;
    if (master!.hasRoomFor(prepared)) return { command, prepared };
    this.waitForRoom(command.config.maxGenerations);
    return undefined;
  }

  /** Rejected with a UsageError when a step fails; then `undo` undoes those before it. */
  private async begin({ command, prepared }: PreparedReload): Promise<ReadyReload> {
    const { undo, log: current, master } = this.state;
    const log = current.prepare(command.config.log);
    undo.add(() => log.drop());
    const report = draftReport(command.config, prepared.listeners);
    if (report) undo.add(() => report.drop());
    // The last step: new workers accept connections, which would be lost if another one failed.
    return { command, prepared, log, report, begun: await master!.begin(prepared) };
  }

  /** Never rejected: what goes wrong is logged, and the next step is taken. */
  private async commit({ command, prepared, log, report, begun }: ReadyReload): Promise<void> {
    const { state } = this;
    state.undo.clear();
    state.command = command;
    await guarded(state.log, () => log.commit());
    await state.master!.commit(begun);
    if (!command.config.watch) await guarded(state.log, () => state.watch.end());
    logWarnings(state, prepared);
    await guarded(state.log, () => report?.publish());
  }

  /** The limit of generations is reached: the next reload begins when one of them has ended. */
  private waitForRoom(limit: number): void {
    const { generations } = this.state.master!;
    const { connections } = generations.census();
    const message = `the configuration waits until an older generation has ended, since ${limit} ` +
      `live (--max-generations); those before the current one have ${connections} connections, ` +
      "which --reload-drain-timeout would end";
    const facts = { limit, connections };
    this.state.log({ level: "warn", event: "reload-waits", message, facts });
    generations.onRoom = () => {
      generations.onRoom = () => {};
      this.request("an older generation has ended");
    };
  }

  private logFailure(error: unknown): void {
    // The stop ends what was begun, which is no failure.
    if (this.state.isStopping) return;
    const problems = error instanceof UsageError
      ? error.problems
      : [`internal error: ${reasonOf(error)}; please report it`];
    for (const problem of problems) {
      const message = `the configuration was not reloaded, nothing has changed: ${problem}`;
      this.state.log({ level: "error", event: "reload-failed", message, facts: {} });
    }
  }
}
