import process from "node:process";
import { repeatEarlySignals } from "./early_signals.ts";

/** What signals ask for. None of these throws, and none returns a promise that can be rejected. */
export interface SignalHandlers {
  stop(signal: string): void;
  reload(cause: string): void;
  /** Opens the log file again. */
  reopenLog(): void;
  upgrade(): void;
}

/** From now on signals are handled, also those that came since the process began. */
export function handleSignals({ stop, reload, reopenLog, upgrade }: SignalHandlers): void {
  for (const signal of ["SIGTERM", "SIGQUIT", "SIGINT"] as const) {
    process.on(signal, () => stop(signal));
  }
  process.on("SIGHUP", () => reload("received SIGHUP"));
  process.on("SIGUSR1", () => reopenLog());
  process.on("SIGUSR2", () => upgrade());
  repeatEarlySignals();
}
