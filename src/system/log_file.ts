import { closeSync, constants, fstatSync, openSync, statSync } from "node:fs";
import { UsageError } from "../base/errors.ts";
import { LineWriter } from "../line_writer.ts";
import { errorText } from "../os/error_text.ts";

/** Names of servers and addresses of clients are nothing for everybody. */
const MODE = 0o640;
/** Milliseconds between two looks whether the file was renamed or removed. */
const CHECK_INTERVAL_MS = 1000;
/** A FIFO without a reader must not hold the master, and a terminal not become its own. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK |
  constants.O_NOCTTY;

/** The log file cannot be opened at start, for which hitch has exit code 2. */
export class LogFileError extends UsageError {}

/** A file that lines are appended to, and that rotation may rename, remove or replace at any time. */
export class LogFile {
  readonly path: string;
  /** Told, once for each time, why the file at the path could not be opened again. */
  onTrouble: (reason: string) => void = () => {};
  onDropped: (lines: number) => void = () => {};
  private readonly now: () => number;
  private fd: number;
  private writer: LineWriter;
  private lastCheck: number;
  private isTroubled = false;

  /** Throws a LogFileError. `now` are milliseconds that never jump. */
  constructor(path: string, now: () => number = () => performance.now()) {
    this.path = path;
    this.now = now;
    this.lastCheck = now();
    try {
      this.fd = openSync(path, FLAGS, MODE);
    } catch (error) {
      throw new LogFileError(
        `--log-filename: cannot open ${path}: ${errorText(error)}; choose another path`,
      );
    }
    this.writer = this.newWriter();
  }

  /** Appends to the file that is at the path now, asked for at most once a second. */
  write(line: string): void {
    if (this.now() - this.lastCheck >= CHECK_INTERVAL_MS) {
      this.lastCheck = this.now();
      if (this.isReplaced()) this.reopen();
    }
    this.writer.write(line);
  }

  /** Opens the path again. A failure keeps the old file and tells `onTrouble`. */
  reopen(): void {
    let fd: number;
    try {
      fd = openSync(this.path, FLAGS, MODE);
    } catch (error) {
      if (this.isTroubled) return;
      this.isTroubled = true;
      return this.onTrouble(errorText(error));
    }
    this.isTroubled = false;
    this.close();
    this.fd = fd;
    this.writer = this.newWriter();
  }

  flush(): Promise<void> {
    return this.writer.flush();
  }

  /** Closes the file when what waits for it is written. */
  close(): void {
    const { fd } = this;
    this.writer.flush().then(() => closeSync(fd));
  }

  private newWriter(): LineWriter {
    const writer = new LineWriter(this.fd);
    writer.onDropped = (lines) => this.onDropped(lines);
    return writer;
  }

  private isReplaced(): boolean {
    try {
      const there = statSync(this.path);
      const ours = fstatSync(this.fd);
      return there.dev !== ours.dev || there.ino !== ours.ino;
    } catch {
      return true;
    }
  }
}
