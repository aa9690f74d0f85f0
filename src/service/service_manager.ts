import type { ServiceState } from "./state.ts";
import { summaryOf } from "./summary.ts";

/** How often the service manager's status line is updated, in milliseconds. */
const STATUS_INTERVAL_MS = 1000;

/**
 * Notifies the service manager, if any, that the service is ready, and of its state from now on.
 */
export function notifyServiceManager(state: ServiceState): void {
  const { notifier, options, log } = state;
  const master = state.master!;
  if (!notifier.isWanted) return;
  if (options.isDaemon) {
    const message = "--daemon: the service manager expects notifications from the process that " +
      "it started, which has exited; omit --daemon with Type=notify";
    log({ level: "warn", event: "warning", message, facts: {} });
    return notifier.silence();
  }
  notifier.ready(summaryOf(state));
  // A stop has its own time limit.
  notifier.watchdog(() => state.isStopping || master.isServing);
  setInterval(() => state.isStopping || notifier.status(summaryOf(state)), STATUS_INTERVAL_MS);
}
