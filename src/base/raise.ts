/**
 * Reports an error that no caller can handle: the process gets it as `uncaughtException`, after the
 * code that runs now. Everything else goes on.
 */
export function raise(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
