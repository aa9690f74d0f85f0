/** Waits for conditions, so that no test relies on sleeps. */
import { setTimeout as pause } from "node:timers/promises";

/**
 * The default limit of a wait, in milliseconds. A correct program never takes that long, even if a
 * busy machine stops it for some seconds.
 */
export const PATIENCE = 40_000;

/**
 * Polls until the condition holds and returns its value. After `ms` milliseconds throws an Error
 * that names `what` was awaited.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  what: string,
  ms = PATIENCE,
): Promise<T> {
  const deadline = performance.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > deadline) throw new Error(`timed out after ${ms} ms: ${what}`);
    await pause(10);
  }
}

/** The promise's result; throws an Error that names `what` after `ms` milliseconds. */
export async function within<T>(promise: Promise<T>, what: string, ms = PATIENCE): Promise<T> {
  const timer = new AbortController();
  const late = pause(ms, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`timed out after ${ms} ms: ${what}`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    late.catch(() => {});
    timer.abort();
  }
}
