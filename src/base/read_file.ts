/**
 * Reads files that a user names. Such a name may lead to an endless device, to a pipe without a
 * writer, or to a socket: each of them is either refused or read with limits on size and time.
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readlinkSync,
  readSync,
  type Stats,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { block } from "./block.ts";
import { errorText } from "./error_text.ts";
import { UsageError } from "./errors.ts";
import { secretBuffer } from "./secret_buffer.ts";

/** The default of `maxBytes`. */
export const MAX_FILE = 16 * 1024 * 1024;

/** A file cannot be used. The message is `${file}: ${reason}`, without a file if that is "". */
export class FileError extends UsageError {
  /** What is wrong, and what to do about it. */
  readonly reason: string;

  constructor(file: string, reason: string) {
    super(file === "" ? reason : `${file}: ${reason}`);
    this.reason = reason;
  }
}

export interface ReadOptions {
  /** The maximum size of the file. */
  readonly maxBytes?: number;
  /**
   * What may be read apart from regular files. `pipe`: the shell's pipes, as in `<(command)`, each
   * of which can be read only once. `stream`: also named pipes and character devices.
   */
  readonly also?: "pipe" | "stream";
  /** Accept an empty pipe, such as one that was read before. */
  readonly mayBeEmpty?: boolean;
  /** Refuse a file that users other than its owner may access. */
  readonly isSecret?: boolean;
  /**
   * The name may be a secret that was given by mistake instead of a file with it: the error for a
   * missing file does not show it, and says what is expected: `a file with passphrases`.
   */
  readonly expected?: string;
  /**
   * Called for a regular file that other users may access. A file of root may be readable by its
   * group, as PostgreSQL and OpenSSH's host keys have it: only root can grant that.
   */
  readonly onExposed?: () => void;
  /** Time limit for reading a pipe or a device to its end, in milliseconds. */
  readonly limitMs?: number;
  /** Time limit for the writer of a named pipe to open it, in milliseconds. */
  readonly writerMs?: number;
}

/** Long enough for a program that asks for a passphrase before it writes to the pipe. */
const STREAM_LIMIT_MS = 30_000;
const WRITER_LIMIT_MS = 2000;
const POLL_MS = 5;
/** Initial size of the buffer if the file's size is unknown, in bytes. */
const CHUNK = 16 * 1024;

/**
 * Returns the file's bytes in a buffer of their own, so that the caller can wipe them. Blocks the
 * process until a pipe ends. Throws a {@link FileError}.
 */
export function readFile(
  file: string,
  options: ReadOptions = {},
): Buffer {
  const { maxBytes = MAX_FILE, also, limitMs = STREAM_LIMIT_MS, expected } = options;
  if (expected !== undefined && !existsSync(file)) throw missingSecret(file, expected);
  return withFileError(file, () => {
    // Opening a device can have side effects.
    assertKind(file, statSync(file), also);
    const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    try {
      const stat = fstatSync(fd);
      assertKind(file, stat, also);
      if (options.isSecret && (stat.mode & 0o077) !== 0) throw notSecret(file);
      if (options.onExposed && isExposed(stat)) options.onExposed();
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
 * Returns all of standard input; `name` is its name in errors. There is no time limit, since the
 * input may be typed. Throws a {@link FileError}.
 */
export function readStandardInput(name: string, maxBytes: number = MAX_FILE): Buffer {
  return withFileError(
    name,
    () => readToEnd(name, 0, maxBytes, 0, { limitMs: Infinity, firstByteMs: 0, mayBeEmpty: true }),
  );
}

/** Runs `action`, which accesses the file. Replaces the system's error by a {@link FileError}. */
export function withFileError<T>(file: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof FileError) throw error;
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    throw new FileError(
      file,
      (code === "ENOENT" ? unexpanded(file) : undefined) ?? reasons[code] ??
        `it cannot be read (${errorText(error)}); specify another file`,
    );
  }
}

/** Returns the error for a file that is not regular. */
export function notRegular(file: string, isDirectory = false): FileError {
  return new FileError(file, isDirectory ? reasons.EISDIR! : NOT_REGULAR);
}

/** A name can be a part of a secret unless it is that of an existing directory. */
function missingSecret(file: string, expected: string): FileError {
  const directory = dirname(file);
  const where = existsSync(directory) ? ` in ${directory}` : "";
  const remedy = `give the path of ${expected}, not its contents`;
  return new FileError("", `it does not exist${where}; ${remedy}`);
}

/** Says what a shell would have replaced in the path of a missing file. */
function unexpanded(file: string): string | undefined {
  if (/(^|\/)~/.test(file)) return "it does not exist; write the home directory instead of ~";
  if (/\$[A-Z_{(]/i.test(file)) return "it does not exist; variables are not replaced here";
  if (/[*?]/.test(file)) {
    return "it does not exist; several files need --pem-dir, with --pem-dir-glob for a pattern";
  }
  return undefined;
}

const NOT_REGULAR = "it is not a regular file; specify one";

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "it does not exist; check the path",
  EACCES: "this user may not read it; check its permissions",
  EISDIR: "it is a directory; specify a file in it",
  ENOTDIR: "a part of the path is not a directory; check the path",
  ELOOP: "its symbolic links lead in a circle; check the path",
  ENAMETOOLONG: "its name is too long; check the path",
  // The error of open(2) for a socket.
  ENXIO: NOT_REGULAR,
};

function assertKind(file: string, stat: Stats, also: ReadOptions["also"]): void {
  const isTaken = stat.isFile() || (also !== undefined && stat.isFIFO()) ||
    (also === "stream" && stat.isCharacterDevice());
  if (!isTaken) throw notRegular(file, stat.isDirectory());
}

function isExposed(stat: Stats): boolean {
  const allowed = stat.uid === 0 ? 0o740 : 0o700;
  return stat.isFile() && (stat.mode & 0o777 & ~allowed) !== 0;
}

function notSecret(file: string): FileError {
  return new FileError(file, `others can read it; restrict it with: chmod 600 ${file}`);
}

/** Whether a pipe has no name in the file system; such a pipe has a writer from the beginning. */
function isAnonymousPipe(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith("pipe:");
  } catch {
    // Without /proc, no path leads to an anonymous pipe.
    return false;
  }
}

interface StreamLimits {
  readonly limitMs: number;
  /**
   * Time in which zero bytes do not mean the end, since the writer may not have opened the pipe.
   */
  readonly firstByteMs: number;
  readonly mayBeEmpty: boolean;
}

/** `size` is an estimate, 0 if unknown. Without `limits` it never waits. */
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
  let bytes = secretBuffer(size > 0 ? size + 1 : CHUNK);
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

/** Returns the number of bytes read, 0 at the end, or undefined if there are none yet. */
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
  block(POLL_MS);
}

/** Moves the bytes to a buffer of twice the size, and wipes the old one. */
function moved(bytes: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
  const larger = secretBuffer(2 * bytes.length);
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
