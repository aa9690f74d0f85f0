/** Opens what the access log is written to. */
import { closeSync, constants, fstatSync, openSync, readlinkSync, statSync } from "node:fs";
import { UsageError } from "../base/errors.ts";
import { errnoText, errorText } from "../base/error_text.ts";
import { copyFrom } from "../os/descriptors.ts";
import type { Libc } from "../os/libc.ts";

/** Not readable by all users, since it has names and addresses. */
const MODE = 0o640;
const STDOUT = 1;
/** The lowest number that is none of the standard descriptors'. */
const FIRST_FREE = 3;
/** A terminal must not become the controlling one, and nothing may wait for a reader. */
const COMMON = constants.O_APPEND | constants.O_NONBLOCK | constants.O_NOCTTY;
const FILE = COMMON | constants.O_WRONLY | constants.O_CREAT;
/** One's own reading end lets a FIFO be opened before its reader, and survive it. */
const FIFO = COMMON | constants.O_RDWR;

/** What an access log is written to. */
export interface OpenedOutput {
  /** -1 for syslog, which the helper opens. */
  readonly fd: number;
  /** What the kernel called the file when it was opened; absent: it cannot be renamed. */
  readonly file?: string | undefined;
}

/**
 * Opens the file at `path`, creating it if there is none; `-` is a copy of standard output, since Deno
 * passes that itself to no child. Throws an Error with the reason.
 */
export function openOutput(libc: Libc, path: string): OpenedOutput {
  if (path === "-") {
    const copy = copyFrom(libc, STDOUT, FIRST_FREE);
    if (copy < 0) throw new Error(errnoText(libc.errno()));
    return { fd: copy };
  }
  try {
    const isFifo = statSync(path, { throwIfNoEntry: false })?.isFIFO() ?? false;
    const fd = openSync(path, isFifo ? FIFO : FILE, MODE);
    return { fd, file: fileBehind(fd) };
  } catch (error) {
    throw new Error(errorText(error));
  }
}

/** Closes what {@link openOutput} has opened. */
export function closeOutput(libc: Libc, path: string, fd: number): void {
  if (path === "-") return void libc.close(fd);
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

/** Returns what the kernel calls a file: its present path, also after it was renamed. */
export function fileBehind(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}
