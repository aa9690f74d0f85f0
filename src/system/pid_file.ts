/** The file that tells the master's pid, and that there is only one of them. */
import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { statSync, unlinkSync, writeFileSync } from "node:fs";
import { UsageError } from "../base/errors.ts";
import type { Dialect } from "../base/dialect.ts";
import { wholeFileLock } from "../os/structures.ts";
import { F_OFD_SETLK } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import { keepFromChildren } from "../os/descriptors.ts";
import { errorText } from "../os/error_text.ts";

const MODE = 0o644;
/** A file that is replaced between open and lock again and again is somebody's game. */
const MAX_ATTEMPTS = 5;

export interface PidFile {
  readonly path: string;
  /** Who inherits it has the lock as well. */
  readonly fd: number;
  /** Writes our pid, where that of another process may stand which shares the lock. */
  write(): void;
  /** Removes the file if it is ours and holds our pid, and gives up the lock. */
  remove(): void;
}

/**
 * The file of a predecessor, which holds that one's pid until {@link PidFile.write}. Undefined when
 * something else is at its path. The descriptor is copied and should be closed in any case, since
 * Deno holds each that it was started with twice.
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
 * Creates and locks the file, or takes over one whose owner is gone, and writes our pid into it,
 * in decimal and without a newline as hitch does. The lock is one that hitch's own respects. It
 * lasts as long as the process. Throws a UsageError when another process holds the file.
 */
export function createPidFile(libc: Libc, path: string, dialect: Dialect): PidFile {
  const refuse = (reason: string, remedy: string): never => {
    throw new UsageError(
      dialect === "hitch"
        ? `FATAL: Could not open pid (-p) file (${path}): ${reason}`
        : `--pidfile: cannot have ${path}: ${reason}; ${remedy}`,
    );
  };
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    let fd: number;
    try {
      fd = openSync(path, FLAGS, MODE);
    } catch (error) {
      return refuse(errorText(error), "choose another path");
    }
    if (libc.fcntl(fd, F_OFD_SETLK, wholeFileLock()) !== 0) {
      closeSync(fd);
      return refuse(`File exists, ${ownerOf(path)} holds it`, "stop that one first");
    }
    // The last owner may have removed it after we opened it.
    if (isSame(path, fd)) return fill(path, fd, refuse);
    closeSync(fd);
  }
  return refuse("it is replaced all the time", "choose another path");
}

const FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK | constants.O_NOFOLLOW;

function fill(
  path: string,
  fd: number,
  refuse: (reason: string, remedy: string) => never,
): PidFile {
  const file = pidFile(path, fd, () => closeSync(fd));
  try {
    file.write();
  } catch (error) {
    closeSync(fd);
    return refuse(errorText(error), "choose another path");
  }
  return file;
}

function pidFile(path: string, fd: number, close: () => void): PidFile {
  const pid = Buffer.from(String(process.pid));
  return {
    path,
    fd,
    write() {
      const before = readFileSync(opened(fd));
      if (before.equals(pid)) return;
      // Opened again: processes that share the lock share the position too. Written over what was
      // there, so that nobody sees an empty file; a longer number has to be cut off first.
      writeFileSync(opened(fd), pid, { flag: before.length > pid.length ? "w" : "r+" });
    },
    remove() {
      try {
        if (isSame(path, fd) && readFileSync(path).equals(pid)) unlinkSync(path);
      } catch {
        // The directory may be read-only by now; the lock tells the truth.
      }
      close();
    },
  };
}

function isSame(path: string, fd: number): boolean {
  const here = statSync(path, { throwIfNoEntry: false });
  const ours = statSync(opened(fd));
  return here?.dev === ours.dev && here.ino === ours.ino;
}

/** The file behind a descriptor, also one that the runtime knows nothing of. */
function opened(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

function ownerOf(path: string): string {
  try {
    const text = readFileSync(path, "latin1");
    if (/^\d{1,10}\s*$/.test(text)) return `process ${text.trim()}`;
  } catch {
    // It has just been removed; it was held all the same.
  }
  return "another process";
}
