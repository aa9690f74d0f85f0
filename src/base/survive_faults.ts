import process from "node:process";

/**
 * Keeps this process running when an event handler throws or a rejected promise has no handler, and
 * calls `report` with the error. Bun ends a process at such a rejection even if it handles exceptions.
 */
export function surviveFaults(report: (error: unknown) => void): void {
  const survive = (error: unknown) => {
    try {
      report(error);
    } catch {
      // An exception in this handler would end the process.
    }
  };
  process.on("uncaughtException", survive);
  process.on("unhandledRejection", survive);
}
