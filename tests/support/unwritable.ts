import { execFileSync } from "node:child_process";
import { chmodSync } from "node:fs";

/**
 * Makes a directory in which nothing can be created, renamed or removed, by root neither. Returns
 * what undoes it, without which the directory could not be removed.
 */
export function makeUnwritable(directory: string): () => void {
  if (process.getuid!() !== 0) {
    chmodSync(directory, 0o555);
    return () => chmodSync(directory, 0o755);
  }
  // Root passes over modes, but not over this flag (chattr(1), which every Debian has).
  execFileSync("chattr", ["+i", directory]);
  return () => void execFileSync("chattr", ["-i", directory]);
}
