/** Waits for conditions: nothing in these tests sleeps and hopes. */
import { setTimeout as pause } from "node:timers/promises";

/**
 * What a wait allows for when nothing else is said, in milliseconds. A right program is never waited
 * for so long, even where a busy machine stops it for some seconds.
 */
export const PATIENCE = 40_000;

/**
 * Asks again and again until the condition holds and returns its value. After `ms` milliseconds
 * throws an Error which names `what` was waited for.
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
    if (performance.now() > deadline) throw new Error(`waited ${ms} ms in vain: ${what}`);
    await pause(10);
  }
}

/** The promise's outcome, or an Error which names `what` after `ms` milliseconds. */
export async function within<T>(promise: Promise<T>, what: string, ms = PATIENCE): Promise<T> {
  const timer = new AbortController();
  const late = pause(ms, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`waited ${ms} ms in vain: ${what}`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    late.catch(() => {});
    timer.abort();
  }
}
