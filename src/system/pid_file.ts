/** The pid file. Its lock prevents a second master from starting. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { statSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import type { Dialect } from "../base/dialect.ts";
import { UsageError } from "../base/errors.ts";
import { EAGAIN, F_OFD_SETLK } from "../os/constants.ts";
import { descriptorPath, keepFromChildren } from "../os/descriptors.ts";
import { errnoText, errorText } from "../base/error_text.ts";
import type { Libc } from "../os/libc.ts";
import { wholeFileLock } from "../os/structures.ts";

const MODE = 0o644;
/** Maximum number of attempts to open and lock a file that is replaced in between. */
const MAX_ATTEMPTS = 5;

export interface PidFile {
  readonly path: string;
  /** A process that inherits it shares the lock. */
  readonly fd: number;
  /**
   * Writes our pid, possibly over that of another process that shares the lock. Throws a UsageError
   * if that fails.
   */
  write(): void;
  /**
   * Removes the file if it is ours and contains our pid, and releases the lock. Throws a UsageError if
   * the file cannot be removed; the lock is released even then.
   */
  remove(): void;
}

/**
 * Takes over the predecessor's file, which contains its pid until {@link PidFile.write}. Returns
 * undefined if another file is at the path. The descriptor is copied, and the caller closes it in any
 * case: Deno holds each inherited descriptor twice.
 */
export function inheritPidFile(
  libc: Libc,
  { path, fd }: Pick<PidFile, "path" | "fd">,
): PidFile | undefined {
  if (!isSame(path, fd)) return undefined;
  const copy = libc.dup(fd);
  keepFromChildren(libc, copy);
  return pidFile(path, copy, () => libc.close(copy));
}

/**
 * Creates and locks the file, or takes over one whose owner has exited, and writes our pid into it,
 * in decimal and without a newline as hitch does. The lock conflicts with hitch's and lasts until
 * the process exits. Throws a UsageError if another process holds the lock, or if the path cannot be
 * used.
 */
export function createPidFile(libc: Libc, path: string, dialect: Dialect): PidFile {
  const refuse = (reason: string, remedy: string): never => {
    throw new UsageError(
      dialect === "hitch"
        ? `FATAL: Could not open pid (-p) file (${path}): ${reason}`
        : `--pidfile: cannot use ${path}: ${reason}; ${remedy}`,
    );
  };
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    let fd: number;
    try {
      fd = openSync(path, FLAGS, MODE);
    } catch (error) {
      return refuse(errorText(error), "choose another path");
    }
    const problem = contentProblem(fd) ?? lockProblem(libc, path, fd);
    if (problem) {
      closeSync(fd);
      return refuse(...problem);
    }
    // The last owner may have removed it after we opened it.
    if (isSame(path, fd)) return fill(path, fd, refuse);
    closeSync(fd);
  }
  return refuse("the file keeps being replaced", "choose another path");
}

const FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK | constants.O_NOFOLLOW |
  constants.O_NOCTTY;

/**
 * Returns why a file cannot become the pid file, which would overwrite it: another kind of file, such
 * as a certificate whose path was given by mistake.
 */
export function contentProblem(fd: number): [string, string] | undefined {
  const stat = fstatSync(fd);
  // Reading a FIFO or a device might never end.
  if (!stat.isFile()) return ["Not a regular file", "choose another path"];
  const isPid = stat.size <= MAX_PID_BYTES &&
    /^\s*\d*\s*$/.test(readFileSync(descriptorPath(fd), "latin1"));
  return isPid ? undefined : ["its contents are not a pid", "choose another path"];
}

const MAX_PID_BYTES = 32;

/** Locks the file. Returns the reason and the remedy on failure. */
function lockProblem(libc: Libc, path: string, fd: number): [string, string] | undefined {
  if (libc.fcntl(fd, F_OFD_SETLK, wholeFileLock()) === 0) return undefined;
  const errno = libc.errno();
  return errno === EAGAIN
    ? [`File exists, ${ownerOf(path)} holds it`, "stop that process first"]
    : [`cannot lock it: ${errnoText(errno)}`, "choose another path"];
}

function fill(
  path: string,
  fd: number,
  refuse: (reason: string, remedy: string) => never,
): PidFile {
  try {
    writePid(fd);
  } catch (error) {
    // A full disk: an empty file would look like that of a running process.
    if (fstatSync(fd).size === 0) unlinkSync(path);
    closeSync(fd);
    return refuse(errorText(error), "choose another path");
  }
  return pidFile(path, fd, () => closeSync(fd));
}

function pidFile(path: string, fd: number, close: () => void): PidFile {
  return {
    path,
    fd,
    write() {
      try {
        writePid(fd);
      } catch (error) {
        throw failure("write", path, error, "specify another path");
      }
    },
    remove() {
      try {
        if (isSame(path, fd) && readFileSync(path).equals(ownPid())) unlinkSync(path);
      } catch (error) {
        throw failure("remove", path, error, "remove it yourself");
      } finally {
        close();
      }
    },
  };
}

function failure(action: string, path: string, error: unknown, remedy: string): UsageError {
  return new UsageError(`--pidfile: cannot ${action} ${path}: ${errorText(error)}; ${remedy}`);
}

function ownPid(): Buffer {
  return Buffer.from(String(process.pid));
}

function writePid(fd: number): void {
  const pid = ownPid();
  const before = readFileSync(descriptorPath(fd));
  if (before.equals(pid)) return;
  // Opened again, because processes that share the lock share the position too. Overwritten in
  // place, so that nobody sees an empty file, even if the disk is full. What remains of a longer
  // number becomes blank before it is cut off.
  const file = descriptorPath(fd);
  writeFileSync(file, pid.toString().padEnd(before.length), { flag: "r+" });
  if (before.length > pid.length) truncateSync(file, pid.length);
}

function isSame(path: string, fd: number): boolean {
  const here = statSync(path, { throwIfNoEntry: false });
  const ours = statSync(descriptorPath(fd));
  return here?.dev === ours.dev && here.ino === ours.ino;
}

function ownerOf(path: string): string {
  try {
    const text = readFileSync(path, "latin1");
    if (/^\d{1,10}\s*$/.test(text)) return `process ${text.trim()}`;
  } catch {
    // It has just been removed.
  }
  return "another process";
}
