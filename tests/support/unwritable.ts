import { execFileSync } from "node:child_process";
import { chmodSync } from "node:fs";

/**
 * Makes a directory immutable: nothing in it can be created, renamed or removed, not even by root.
 * Returns a function that undoes this, without which the directory cannot be removed.
 */
export function makeUnwritable(directory: string): () => void {
  if (process.getuid!() !== 0) {
    chmodSync(directory, 0o555);
    return () => chmodSync(directory, 0o755);
  }
  // Root ignores modes, but not this flag (chattr(1), which every Debian has).
  execFileSync("chattr", ["+i", directory]);
  return () => void execFileSync("chattr", ["-i", directory]);
}
