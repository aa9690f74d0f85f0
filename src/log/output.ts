import { closeSync, writeSync } from "node:fs";

/** Accepts bytes without ever waiting for their reader. */
export interface Output {
  /** Returns the number of bytes accepted; `full`: try again later; `refused`: do not try again. */
  write(bytes: Uint8Array): number | "full" | "refused";
  /** No write follows. */
  close(): void;
}

/** Returns an output that owns a non-blocking descriptor, or that of a regular file. */
export function ownOutput(fd: number): Output {
  return {
    write: (bytes) => tryWrite(fd, bytes),
    close() {
      try {
        closeSync(fd);
      } catch {
        // A network file system may report a failed write only now. The descriptor is closed.
      }
    },
  };
}

/** Tries to write once. A full disk and a closed pipe count as refused. */
export function tryWrite(fd: number, bytes: Uint8Array): number | "full" | "refused" {
  try {
    return writeSync(fd, bytes) || "full";
  } catch (error) {
    return (error as { code?: string }).code === "EAGAIN" ? "full" : "refused";
  }
}
