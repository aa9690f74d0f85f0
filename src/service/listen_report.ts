import {
  lstatSync,
  realpathSync,
  renameSync,
  type Stats,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { errorText } from "../base/error_text.ts";
import { UsageError } from "../base/errors.ts";
import type { Endpoint } from "../os/endpoint.ts";

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
 * endpoint, in order. Follows symbolic links. Throws a UsageError if it cannot be written, or if
 * something other than a regular file has this path; nothing has changed then.
 */
export function draftListenReport(path: string, endpoints: readonly Endpoint[]): ListenReport {
  const lines = endpoints.flatMap((endpoint) =>
    endpoint.family === 4 ? [`${endpoint.address}:${endpoint.port}\n`] : []
  );
  const target = explaining(path, () => targetOf(path));
  const draft = `${target}.${process.pid}`;
  const cleaningUp = (step: () => void) => {
    try {
      explaining(path, step);
    } catch (error) {
      removeIfPossible(draft);
      throw error;
    }
  };
  cleaningUp(() => {
    // Another user's link of this name must not be followed.
    remove(draft);
    writeFileSync(draft, lines.join(""), { flag: "wx", mode: 0o644 });
  });
  return {
    publish: () =>
      cleaningUp(() => {
        // It can have changed since, and a rename would replace a device.
        const stat = lstatSync(target, { throwIfNoEntry: false });
        if (stat) assertRegular(stat);
        renameSync(draft, target);
      }),
    drop() {
      try {
        remove(draft);
      } catch (error) {
        throw new UsageError(
          `--dbg-listen: cannot remove ${draft}: ${errorText(error)}; remove it yourself`,
        );
      }
    },
  };
}

/**
 * Returns the path of the regular file to replace, which may not exist. Throws an Error for anything
 * else, such as a device.
 */
function targetOf(path: string): string {
  try {
    // Unlike realpath it respects the kernel's protection of links in shared directories (proc(5),
    // protected_symlinks).
    assertRegular(statSync(path));
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    if (lstatSync(path, { throwIfNoEntry: false })) throw new Error("The link's target is missing");
    return path;
  }
  return realpathSync(path);
}

function assertRegular(stat: Stats): void {
  if (stat.isFile()) return;
  throw new Error(stat.isDirectory() ? "Is a directory" : "Not a regular file");
}

function explaining<T>(path: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw new UsageError(
      `--dbg-listen: cannot write ${path}: ${errorText(error)}; specify another path`,
    );
  }
}

function remove(file: string): void {
  try {
    unlinkSync(file);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
}

function removeIfPossible(file: string): void {
  try {
    remove(file);
  } catch {
    // The caller reports an error with the same cause.
  }
}

function codeOf(error: unknown): unknown {
  return (error as { readonly code?: unknown }).code;
}
