/**
 * Handles the signals of a service until it can. Imported before everything else: without a handler
 * they would end the process, or open Node's debugger (SIGUSR1; the Deno
 * adapter sees to Deno's).
 */
import process from "node:process";

const early = new Set<NodeJS.Signals>();

// The log is not open yet, so it need not be reopened.
process.on("SIGUSR1", () => {});
for (const signal of ["SIGHUP", "SIGUSR2"] as const) process.on(signal, () => early.add(signal));

/** Calls the current handlers of the signals that have arrived so far, once for each. */
export function repeatEarlySignals(): void {
  const received = [...early];
  for (const signal of received) process.emit(signal, signal);
}
