/**
 * Reports an error that no caller can handle: after the current code, the process receives it as
 * `uncaughtException`. Everything else continues.
 */
export function raise(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
