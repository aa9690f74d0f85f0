/** Opens the access log's file, in the helper: only it may wait for a disk. */
import { constants, fstatSync, openSync, readlinkSync, statSync } from "node:fs";
import { errorText } from "../base/error_text.ts";

/** Not readable by all users, since it has names and addresses. */
const MODE = 0o640;
/** A terminal must not become the controlling one, and nothing may wait for a reader. */
const COMMON = constants.O_APPEND | constants.O_NONBLOCK | constants.O_NOCTTY;
const FILE = COMMON | constants.O_WRONLY | constants.O_CREAT;
/** One's own reading end lets a FIFO be opened before its reader, and survive it. */
const FIFO = COMMON | constants.O_RDWR;

/**
 * Opens the file at `path`, creating it if there is none; returns its descriptor, which never blocks.
 * Throws an Error with the reason.
 */
export function openFile(path: string): number {
  try {
    const isFifo = statSync(path, { throwIfNoEntry: false })?.isFIFO() ?? false;
    return openSync(path, isFifo ? FIFO : FILE, MODE);
  } catch (error) {
    throw new Error(errorText(error));
  }
}

/** Whether the file at a path is the one behind a descriptor. */
export function isSameFile(fd: number, path: string): boolean {
  try {
    const [there, ours] = [statSync(path), fstatSync(fd)];
    return there.dev === ours.dev && there.ino === ours.ino;
  } catch {
    return false;
  }
}

/** Returns what the kernel calls a file: its present path, also after it was renamed. */
export function fileBehind(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}
