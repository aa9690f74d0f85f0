/**
 * Signals that ask a service for something and may come before there is one. Imported first of all:
 * without a handler they would end the process, or open Node's debugger (SIGUSR1).
 */
import process from "node:process";

const early = new Set<NodeJS.Signals>();

// Who opens its log later needs not do it again.
process.on("SIGUSR1", () => {});
for (const signal of ["SIGHUP", "SIGUSR2"] as const) process.on(signal, () => early.add(signal));

/** Hands those that came so far, each once, to the handlers which there are by now. */
export function repeatEarlySignals(): void {
  const came = [...early];
  for (const signal of came) process.emit(signal, signal);
}
