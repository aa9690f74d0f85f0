/**
 * The one way to read a file that a user names. Such a name may lead to a device without an end, to
 * a pipe that nobody writes to, or to a socket: each of them is refused, or read with limits.
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

/** The largest file where no other limit is given, in bytes. */
export const MAX_FILE = 16 * 1024 * 1024;

/** A file that cannot be used; the message is `${file}: ${reason}`. */
export class FileError extends UsageError {
  /** What is wrong, and what to do about it. */
  readonly reason: string;

  constructor(file: string, reason: string) {
    super(`${file}: ${reason}`);
    this.reason = reason;
  }
}

export interface ReadOptions {
  /** The largest file that is read. */
  readonly maxBytes?: number;
  /**
   * What is read beside regular files. `pipe`: the shell's pipes, as in `<(command)`, each of which
   * can be read only once. `stream`: also named pipes and character devices.
   */
  readonly also?: "pipe" | "stream";
  /** A pipe that was read before is taken as empty; absent: it is refused. */
  readonly mayBeEmpty?: boolean;
  /** It is refused if others than its owner may read or write it. */
  readonly isSecret?: boolean;
  /** Milliseconds in which a pipe or a device has to end. */
  readonly limitMs?: number;
  /** Milliseconds in which the writer of a named pipe has to open it. */
  readonly writerMs?: number;
}

/** The program at the other end of a pipe may have to ask somebody for a passphrase. */
const STREAM_LIMIT_MS = 30_000;
const WRITER_LIMIT_MS = 2000;
const POLL_MS = 5;
const CHUNK = 16 * 1024;

/**
 * The file's bytes, in memory that nothing else uses, so that the caller can wipe them. It blocks
 * the process until a pipe ends. Throws a {@link FileError}.
 */
export function readFile(
  file: string,
  options: ReadOptions = {},
): Buffer {
  const { maxBytes = MAX_FILE, also, limitMs = STREAM_LIMIT_MS } = options;
  return explained(file, () => {
    // To open a device may already do something.
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
 * All of standard input; `name` stands for it in errors. It has no time limit: somebody may be
 * typing. Throws a {@link FileError}.
 */
export function readStandardInput(name: string, maxBytes: number = MAX_FILE): Buffer {
  return explained(
    name,
    () => readToEnd(name, 0, maxBytes, 0, { limitMs: Infinity, firstByteMs: 0, mayBeEmpty: true }),
  );
}

/**
 * Runs what reads or looks at a file. Throws a {@link FileError} in place of the system's error.
 */
export function explained<T>(file: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof FileError) throw error;
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new FileError(file, reasons[code] ?? `it cannot be read (${code}); name another file`);
  }
}

/** For what is there and is no regular file. */
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
  const isTaken = stat.isFile() || (also !== undefined && stat.isFIFO()) ||
    (also === "stream" && stat.isCharacterDevice());
  if (!isTaken) throw notRegular(file, stat.isDirectory());
}

function notSecret(file: string): FileError {
  return new FileError(file, `others can read it; restrict it with: chmod 600 ${file}`);
}

/** One without a name in the file system, which has had its writer from the beginning. */
function isAnonymousPipe(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith("pipe:");
  } catch {
    // Without /proc there is no path to one.
    return false;
  }
}

/** How long a stream is waited for. */
interface Patience {
  readonly limitMs: number;
  /** For which nothing at all may come without being the end. */
  readonly firstByteMs: number;
  readonly mayBeEmpty: boolean;
}

/** `size` is a first guess. Without `patience` nothing has to be waited for. */
function readToEnd(
  file: string,
  fd: number,
  maxBytes: number,
  size: number,
  patience: Patience = { limitMs: 0, firstByteMs: 0, mayBeEmpty: true },
): Buffer {
  if (size > maxBytes) throw tooLarge(file, maxBytes);
  const { limitMs, firstByteMs, mayBeEmpty } = patience;
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
      if (length === bytes.length) bytes = moved(bytes);
    }
    if (length === 0 && !mayBeEmpty) throw new FileError(file, EMPTY_PIPE);
    return bytes.subarray(0, length);
  } catch (error) {
    bytes.fill(0);
    throw error;
  }
}

const EMPTY_PIPE = "the pipe is empty, and a pipe can be read only once; specify a regular file";

/** How many bytes have been read, 0 at the end; undefined when there are none yet. */
function readSome(fd: number, bytes: Buffer, offset: number): number | undefined {
  try {
    return readSync(fd, bytes, offset, bytes.length - offset, null);
  } catch (error) {
    const code = (error as { readonly code?: unknown }).code;
    // Some runtimes tell the end by an error.
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

/** To twice as much memory; nothing stays behind. */
function moved(bytes: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
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
