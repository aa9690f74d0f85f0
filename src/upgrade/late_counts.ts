/**
 * What a predecessor counts while it drains reaches its successor through a file in memory: neither
 * waits for the other, and the last numbers outlive the process that wrote them.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { type CountedSeries, parseCountedSeries } from "../base/counters.ts";
import { errnoText } from "../base/error_text.ts";
import { MFD_CLOEXEC } from "../os/constants.ts";
import { descriptorPath } from "../os/descriptors.ts";
import type { Libc } from "../os/libc.ts";
import { cString } from "../os/structures.ts";

/** Returns the descriptor of an empty file. Throws an Error if the kernel refuses. */
export function openLateCounts(libc: Libc): number {
  const fd = libc.memfd_create(cString("counts"), MFD_CLOEXEC);
  if (fd < 0) throw new Error(`cannot make a file for counts: ${errnoText(libc.errno())}`);
  return fd;
}

/** Replaces the numbers in the file. */
export function writeLateCounts(fd: number, numbers: readonly CountedSeries[]): void {
  const text = JSON.stringify(numbers);
  writeFileSync(descriptorPath(fd), `${digest(text)}${text}`);
}

/** Returns the numbers in the file; undefined if there are none, or while they are being written. */
export function readLateCounts(fd: number): readonly CountedSeries[] | undefined {
  const content = readFileSync(descriptorPath(fd), "utf8");
  const text = content.slice(DIGEST_LENGTH);
  if (text === "" || content.slice(0, DIGEST_LENGTH) !== digest(text)) return undefined;
  return parseCountedSeries(JSON.parse(text));
}

const DIGEST_LENGTH = 64;

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
