/**
 * Reads every file that a user specifies. The path may be that of an endless device, a pipe without a
 * writer, or a socket: each of them is refused, or read with limits.
 */
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readlinkSync,
  readSync,
  type Stats,
  statSync,
} from "node:fs";
import { UsageError } from "./errors.ts";

/** The default limit of a file's size, in bytes. */
export const MAX_FILE = 16 * 1024 * 1024;

/** A file that cannot be used; the message is `${file}: ${reason}`. */
export class FileError extends UsageError {
  /** What is wrong, and what to do. */
  readonly reason: string;

  constructor(file: string, reason: string) {
    super(`${file}: ${reason}`);
    this.reason = reason;
  }
}

export interface ReadOptions {
  /** Maximum size of the file, in bytes. */
  readonly maxBytes?: number;
  /**
   * What is read in addition to regular files. `pipe`: the shell's pipes, as in `<(command)`, each of
   * which can be read only once. `stream`: also named pipes and character devices.
   */
  readonly also?: "pipe" | "stream";
  /** A pipe that was read before counts as empty; absent: it is refused. */
  readonly mayBeEmpty?: boolean;
  /** The file is refused if anyone but its owner may read or write it. */
  readonly isSecret?: boolean;
  /** Milliseconds within which a pipe or a device must end. */
  readonly limitMs?: number;
  /** Milliseconds within which a writer must open a named pipe. */
  readonly writerMs?: number;
}

/** Long, because the program that writes to a pipe may prompt for a passphrase. */
const STREAM_LIMIT_MS = 30_000;
const WRITER_LIMIT_MS = 2000;
const POLL_MS = 5;
const CHUNK = 16 * 1024;

/**
 * Returns the file's bytes, in memory of their own, so that the caller can wipe them. Blocks the
 * process until a pipe ends. Throws a {@link FileError}.
 */
export function readFile(
  file: string,
  options: ReadOptions = {},
): Buffer {
  const { maxBytes = MAX_FILE, also, limitMs = STREAM_LIMIT_MS } = options;
  return withFileErrors(file, () => {
    // Opening a device can have side effects.
    assertKind(file, statSync(file), also);
    const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    try {
      const stat = fstatSync(fd);
      assertKind(file, stat, also);
      if (options.isSecret && (stat.mode & 0o077) !== 0) throw notSecret(file);
      if (stat.isFile()) return readToEnd(file, fd, maxBytes, stat.size);
      const isNamed = stat.isFIFO() && !isAnonymousPipe(fd);
      if (isNamed && also === "pipe") throw notRegular(file);
      return readToEnd(file, fd, maxBytes, 0, {
        limitMs,
        firstByteMs: isNamed ? options.writerMs ?? WRITER_LIMIT_MS : 0,
        mayBeEmpty: options.mayBeEmpty === true || !stat.isFIFO(),
      });
    } finally {
      closeSync(fd);
    }
  });
}

/**
 * Returns all of standard input; errors call it `name`. There is no time limit, since a user may be
 * typing. Throws a {@link FileError}.
 */
export function readStandardInput(name: string, maxBytes: number = MAX_FILE): Buffer {
  return withFileErrors(
    name,
    () => readToEnd(name, 0, maxBytes, 0, { limitMs: Infinity, firstByteMs: 0, mayBeEmpty: true }),
  );
}

/** Runs an action on a file. Throws a {@link FileError} in place of a system error. */
export function withFileErrors<T>(file: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof FileError) throw error;
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new FileError(file, reasons[code] ?? `it cannot be read (${code}); specify another file`);
  }
}

/** Returns the error for something other than a regular file. */
export function notRegular(file: string, isDirectory = false): FileError {
  return new FileError(file, isDirectory ? reasons.EISDIR! : NOT_REGULAR);
}

const NOT_REGULAR = "it is not a regular file; specify one";

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "it does not exist; check the path",
  EACCES: "this user may not read it; check its permissions",
  EISDIR: "it is a directory; specify a file in it",
  ENOTDIR: "a part of the path is not a directory; check the path",
  // What open(2) says of a socket.
  ENXIO: NOT_REGULAR,
};

function assertKind(file: string, stat: Stats, also: ReadOptions["also"]): void {
  const isAllowed = stat.isFile() || (also !== undefined && stat.isFIFO()) ||
    (also === "stream" && stat.isCharacterDevice());
  if (!isAllowed) throw notRegular(file, stat.isDirectory());
}

function notSecret(file: string): FileError {
  return new FileError(file, `others can read it; restrict it with: chmod 600 ${file}`);
}

/** True for a pipe without a name in the file system, which has its writer from the start. */
function isAnonymousPipe(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith("pipe:");
  } catch {
    // Without /proc there is no path to such a pipe.
    return false;
  }
}

/** Limits for reading a stream. */
interface StreamLimits {
  readonly limitMs: number;
  /** Milliseconds before which an empty read is not the end: a writer may still come. */
  readonly firstByteMs: number;
  readonly mayBeEmpty: boolean;
}

/** `size` is an estimate. Without `limits` the file is read without waiting. */
function readToEnd(
  file: string,
  fd: number,
  maxBytes: number,
  size: number,
  limits: StreamLimits = { limitMs: 0, firstByteMs: 0, mayBeEmpty: true },
): Buffer {
  if (size > maxBytes) throw tooLarge(file, maxBytes);
  const { limitMs, firstByteMs, mayBeEmpty } = limits;
  const start = performance.now();
  let bytes = Buffer.alloc(Math.max(size + 1, CHUNK));
  let length = 0;
  try {
    for (;;) {
      const count = readSome(fd, bytes, length);
      const waited = performance.now() - start;
      if (count === 0 && (length > 0 || waited >= firstByteMs)) break;
      if (!count) wait(file, waited, limitMs);
      length += count ?? 0;
      if (length > maxBytes) throw tooLarge(file, maxBytes);
      if (length === bytes.length) bytes = grown(bytes);
    }
    if (length === 0 && !mayBeEmpty) throw new FileError(file, EMPTY_PIPE);
    return bytes.subarray(0, length);
  } catch (error) {
    bytes.fill(0);
    throw error;
  }
}

const EMPTY_PIPE = "the pipe is empty, and a pipe can be read only once; specify a regular file";

/** Returns the number of bytes read, 0 at the end, undefined if none are available yet. */
function readSome(fd: number, bytes: Buffer, offset: number): number | undefined {
  try {
    return readSync(fd, bytes, offset, bytes.length - offset, null);
  } catch (error) {
    const code = (error as { readonly code?: unknown }).code;
    // Some runtimes report the end as an error.
    if (code === "EOF") return 0;
    if (code === "EAGAIN" || code === "EINTR") return undefined;
    throw error;
  }
}

function wait(file: string, waited: number, limitMs: number): void {
  if (waited >= limitMs) {
    throw new FileError(file, `it did not end within ${limitMs / 1000} s; specify a regular file`);
  }
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
}

/** Copies to twice as much memory, and wipes the old. */
function grown(bytes: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
  const larger = Buffer.alloc(2 * bytes.length);
  bytes.copy(larger);
  bytes.fill(0);
  return larger;
}

function tooLarge(file: string, maxBytes: number): FileError {
  return new FileError(
    file,
    `it is larger than ${maxBytes} bytes; check that it is the right file`,
  );
}
