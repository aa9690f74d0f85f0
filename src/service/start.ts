import process from "node:process";
import { UsageError } from "../base/errors.ts";
import { guarded } from "../log/guarded.ts";
import { Master } from "../master/master.ts";
import type { Prepared } from "../master/prepare.ts";
import { reportReady } from "../upgrade/daemon.ts";
import { closeInherited } from "../os/descriptors.ts";
import type { ListenReport } from "./listen_report.ts";
import { createPidFile, inheritPidFile, type PidFile } from "../system/pid_file.ts";
import { keptEssentials, prepareCommand } from "./prepare_command.ts";
import { draftReport, logWarnings } from "./report.ts";
import { notifyServiceManager } from "./service_manager.ts";
import type { ServiceState } from "./state.ts";

/** What a start needs from the rest of the service. */
export interface StartEvents {
  /** Handles signals from now on. */
  handleSignals(): void;
  /** Stops: the process that waited for this one has gone. `reason` is a clause. */
  stop(reason: string): Promise<void>;
}

/**
 * Starts the service in the phases of a reload: `prepare`, `begin` and, once the waiting parent or
 * predecessor has been notified, `commit`. Rejected with a UsageError if it cannot begin; what was
 * begun is then undone. Not settled if a stop comes first, which ends the process.
 */
export async function start(state: ServiceState, events: StartEvents): Promise<void> {
  const { config } = state.command;
  if (state.options.isDaemon && config.frontends.some(({ listen }) => "activated" in listen)) {
    throw new UsageError(
      "--daemon: the service manager's sockets are for the process that it started; omit --daemon",
    );
  }
  await state.watch.begin(config);
  const prepared = await prepareCommand(state.prepareContext, state.command);
  const former = state.options.predecessor?.handover.essentials;
  state.essentials = keptEssentials(former, state.command, prepared);
  const report = await begin(state, prepared, events);
  const reason = reportStarted(state);
  if (reason !== undefined) await events.stop(reason);
  await commit(state, prepared, report);
}

/** Maximum time that clients delay the report of a failed start, in seconds. */
const MAX_DRAIN = 30;

/** Fulfilled when the workers accept connections. */
async function begin(
  state: ServiceState,
  prepared: Prepared,
  events: StartEvents,
): Promise<ListenReport | undefined> {
  const { runtime, log, undo, command: { config }, options: { predecessor } } = state;
  state.pidFile = openPidFile(state);
  try {
    const report = draftReport(config, prepared.listeners);
    if (report) undo.add(() => report.drop());
    state.admin.begin(prepared.admin);
    undo.add(() => state.admin.drop());
    const master = state.master = new Master(runtime, prepared, log, predecessor?.handover);
    events.handleSignals();
    await master.start();
    if (predecessor) state.pidFile?.write();
    return report;
  } catch (error) {
    if (state.isStopping) await new Promise(() => {});
    // Workers without a master would keep the sockets open; some may have accepted clients.
    await state.master?.stop(Math.min(config.drainTimeout, MAX_DRAIN) * 1000);
    undo.run();
    await guarded(log, () => state.pidFile?.remove());
    throw error;
  }
}

/**
 * Reports to the predecessor, or to the parent of a daemon, that this process serves. Returns the
 * reason to stop if that process has gone.
 */
function reportStarted({ runtime, command, options }: ServiceState): string | undefined {
  const { predecessor, isDaemon } = options;
  if (predecessor) return predecessor.handOver() ? undefined : "its predecessor has exited";
  if (!isDaemon) return undefined;
  const isAwaited = reportReady(runtime.libc, command.config.dialect);
  return isAwaited ? undefined : "the process that started it has exited";
}

/** Never rejected: a step that fails is logged, and the next one is taken. */
async function commit(
  state: ServiceState,
  prepared: Prepared,
  report: ListenReport | undefined,
): Promise<void> {
  const { log, undo, options: { predecessor, isDaemon } } = state;
  undo.clear();
  state.configuration = { ...state.configuration, loadedAt: new Date().toISOString() };
  if (predecessor) {
    state.master!.takeOver();
    // A daemon must not keep a file system from being unmounted.
    if (isDaemon) await guarded(log, () => process.chdir("/"));
  }
  await guarded(log, () => state.admin.use());
  if (predecessor) await guarded(log, () => state.admin.takeOver());
  logWarnings(state, prepared);
  await guarded(log, () => report?.publish());
  await guarded(log, () => notifyServiceManager(state));
}

function openPidFile({ runtime: { libc }, command, options }: ServiceState): PidFile | undefined {
  const { pidFile: path, dialect } = command.config;
  const inherited = options.predecessor?.handover.pidFile;
  const kept = inherited?.path === path ? inheritPidFile(libc, inherited) : undefined;
  // Otherwise the lock lasts until the predecessor exits too.
  if (inherited) closeInherited(libc, inherited.fd);
  if (kept) return kept;
  return path === "" ? undefined : createPidFile(libc, path, dialect);
}
