import type { BigIntStats } from "node:fs";

/** Returns a text that changes when a file is replaced or modified. */
export function fileStamp({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(":");
}
