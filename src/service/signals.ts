import process from "node:process";
import { repeatEarlySignals } from "./early_signals.ts";

/**
 * A signal to a whole process group, as `timeout` and wrappers for Ctrl-C send it, arrives twice: within
 * this time, in milliseconds, the same one counts once.
 */
const SAME_SIGNAL_MS = 100;

/** The actions for signals. None throws or returns a promise that can be rejected. */
export interface SignalHandlers {
  stop(cause: string): void;
  reload(cause: string): void;
  /** Opens the log file and the access log again. */
  reopenLog(): void;
  upgrade(): void;
}

/** Handles signals from now on, including those received since the process started. */
export function handleSignals({ stop, reload, reopenLog, upgrade }: SignalHandlers): void {
  for (const signal of ["SIGTERM", "SIGQUIT", "SIGINT"] as const) {
    let stoppedAt = -Infinity;
    process.on(signal, () => {
      if (performance.now() - stoppedAt < SAME_SIGNAL_MS) return;
      stop(`received ${signal}`);
      // The second one may have waited for this.
      stoppedAt = performance.now();
    });
  }
  process.on("SIGHUP", () => reload("received SIGHUP"));
  process.on("SIGUSR1", () => reopenLog());
  process.on("SIGUSR2", () => upgrade());
  repeatEarlySignals();
}
