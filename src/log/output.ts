import { closeSync, writeSync } from "node:fs";

/** Takes bytes without ever waiting for whoever reads them. */
export interface Output {
  /** How many bytes were taken; `full`: none for now; `refused`: none, and no use to try again. */
  write(bytes: Uint8Array): number | "full" | "refused";
  /** Nothing is written afterwards. */
  close(): void;
}

/** Owns a descriptor that does not block, or that of a regular file. */
export function ownOutput(fd: number): Output {
  return {
    write: (bytes) => tryWrite(fd, bytes),
    close() {
      try {
        closeSync(fd);
      } catch {
        // A network file system reports late that a write has failed. The descriptor is free.
      }
    },
  };
}

/** One attempt to write. A disk that is full and a reader that is gone refuse. */
export function tryWrite(fd: number, bytes: Uint8Array): number | "full" | "refused" {
  try {
    return writeSync(fd, bytes) || "full";
  } catch (error) {
    return (error as { code?: string }).code === "EAGAIN" ? "full" : "refused";
  }
}
