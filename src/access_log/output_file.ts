/** Opens what the access log is written to. */
import { closeSync, constants, fstatSync, openSync, statSync } from "node:fs";
import { UsageError } from "../base/errors.ts";
import { errorText } from "../base/error_text.ts";

/** Not readable by all users, since it has names and addresses. */
const MODE = 0o640;
const STDOUT = 1;
/** A terminal must not become the controlling one, and nothing may wait for a reader. */
const COMMON = constants.O_APPEND | constants.O_NONBLOCK | constants.O_NOCTTY;
const FILE = COMMON | constants.O_WRONLY | constants.O_CREAT;
/** One's own reading end lets a FIFO be opened before its reader, and survive it. */
const FIFO = COMMON | constants.O_RDWR;

/**
 * Opens the file at `path`, creating it if there is none; `-` is standard output, which is not closed.
 * Throws an Error with the reason.
 */
export function openOutput(path: string): number {
  if (path === "-") return STDOUT;
  try {
    const isFifo = statSync(path, { throwIfNoEntry: false })?.isFIFO() ?? false;
    return openSync(path, isFifo ? FIFO : FILE, MODE);
  } catch (error) {
    throw new Error(errorText(error));
  }
}

/** Closes what {@link openOutput} has opened. */
export function closeOutput(fd: number): void {
  if (fd === STDOUT) return;
  try {
    closeSync(fd);
  } catch {
    // A network file system may report a failed write only now. The descriptor is closed.
  }
}

/** Throws a UsageError if the file behind a descriptor is also that of the log. */
export function assertNotLog(fd: number, path: string, logFile: string): void {
  if (logFile === "" || !isSameFile(fd, logFile)) return;
  throw new UsageError(
    `--access-log: ${path} is also given as --log-filename; choose another path`,
  );
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
