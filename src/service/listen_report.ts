import { lstatSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { UsageError } from "../base/errors.ts";
import type { Endpoint } from "../os/endpoint.ts";
import { errorText } from "../os/error_text.ts";

/** A report in a temporary file beside its final path. */
export interface ListenReport {
  /**
   * Replaces the file by the report in one step, so that readers see the old or the new one. Throws
   * a UsageError if that fails; the file is then unchanged.
   */
  publish(): void;
  /** Removes the report. Throws a UsageError if that fails. */
  drop(): void;
}

/**
 * Prepares the file for hitch's `--dbg-listen`: one line such as `192.0.2.1:443` for each IPv4
 * endpoint, in order. Throws a UsageError if it cannot be written; nothing has changed then.
 */
export function draftListenReport(path: string, endpoints: readonly Endpoint[]): ListenReport {
  const lines = endpoints.flatMap((endpoint) =>
    endpoint.family === 4 ? [`${endpoint.address}:${endpoint.port}\n`] : []
  );
  const draft = `${path}.${process.pid}`;
  const cleaningUp = (step: () => void) => {
    try {
      step();
    } catch (error) {
      removeIfPossible(draft);
      throw new UsageError(
        `--dbg-listen: cannot write ${path}: ${errorText(error)}; specify another path`,
      );
    }
  };
  cleaningUp(() => {
    // Another user's link of this name must not be followed.
    rmSync(draft, { force: true });
    writeFileSync(draft, lines.join(""), { flag: "wx", mode: 0o644 });
    // Here `publish` would fail.
    if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) {
      throw new Error("Is a directory");
    }
  });
  return {
    publish: () => cleaningUp(() => renameSync(draft, path)),
    drop() {
      try {
        rmSync(draft, { force: true });
      } catch (error) {
        throw new UsageError(
          `--dbg-listen: cannot remove ${draft}: ${errorText(error)}; remove it yourself`,
        );
      }
    },
  };
}

function removeIfPossible(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // The caller reports an error with the same cause.
  }
}
