import type { ServiceState } from "./state.ts";

/** How often the service manager's status line is updated, in milliseconds. */
const STATUS_INTERVAL_MS = 1000;

/** Notifies the service manager, if there is one, that the service is ready, and from now on of its state. */
export function notifyServiceManager(state: ServiceState): void {
  const { notifier, options, log } = state;
  const master = state.master!;
  if (!notifier.isWanted) return;
  if (options.isDaemon) {
    const message = "--daemon: the service manager waits for word from the process that it " +
      "started, which has ended; leave out --daemon under Type=notify";
    log({ level: "warn", event: "warning", message, facts: {} });
    return notifier.silence();
  }
  notifier.ready(master.summary);
  // The time of a stop is limited otherwise.
  notifier.watchdog(() => state.isStopping || master.isServing);
  setInterval(() => state.isStopping || notifier.status(master.summary), STATUS_INTERVAL_MS);
}
