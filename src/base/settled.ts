import { type BigIntStats, statSync } from "node:fs";
import { block } from "./block.ts";
import { fileStamp } from "./file_stamp.ts";
import { FileError } from "./read_file.ts";

/** A file that was modified less than this before may be half-written, in milliseconds. */
const SETTLE_MS = 50;
const POLL_MS = 10;
/** Maximum time to wait for a file that keeps changing, in milliseconds. */
const LIMIT_MS = 1000;

/** What {@link readSettled} uses; tests replace it. */
export interface SettleContext {
  readonly stat: (file: string) => BigIntStats | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly pause: (ms: number) => void;
}

const system: SettleContext = {
  stat: (file) => statSync(file, { bigint: true, throwIfNoEntry: false }),
  now: () => Date.now(),
  pause: block,
};

/**
 * Returns what `read` returns for a file that is not being written: it is read again if it changed
 * during the read or shortly before. Blocks for a second at most. Throws a FileError if the file
 * keeps changing, and what `read` throws. Anything but a regular file is read once.
 */
export function readSettled<T>(file: string, read: () => T, context: SettleContext = system): T {
  const { stat, now, pause } = context;
  for (let waited = 0;; waited += POLL_MS) {
    const before = stampOf(stat, file);
    if (before === undefined) return read();
    const text = read();
    const after = stampOf(stat, file);
    const age = after ? now() - Number(after.mtimeMs) : 0;
    const isSettled = before.text === after?.text && (age >= SETTLE_MS || age < 0);
    if (isSettled) return text;
    if (waited >= LIMIT_MS) {
      throw new FileError(
        file,
        "it keeps changing while it is read; try again when it is complete",
      );
    }
    pause(POLL_MS);
  }
}

function stampOf(
  stat: SettleContext["stat"],
  file: string,
): { readonly text: string; readonly mtimeMs: bigint } | undefined {
  let found: BigIntStats | undefined;
  try {
    found = stat(file);
  } catch {
    // Reading it reports the error.
  }
  if (!found?.isFile()) return undefined;
  return { text: fileStamp(found), mtimeMs: found.mtimeMs };
}
