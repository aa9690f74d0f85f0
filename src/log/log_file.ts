import { constants, fstatSync, openSync, statSync } from "node:fs";
import { type Clock, systemClock } from "../base/clock.ts";
import { UsageError } from "../base/errors.ts";
import { errorText } from "../base/error_text.ts";
import { LineWriter } from "./line_writer.ts";
import { ownOutput } from "./output.ts";

/** Not readable by all users, since it has server names and client addresses. */
const MODE = 0o640;
/** Milliseconds between checks whether the file was renamed, removed or replaced. */
const CHECK_INTERVAL_MS = 1000;
/** A FIFO without a reader must not block, and a terminal must not become the controlling one. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK |
  constants.O_NOCTTY;

/** The log file cannot be opened at start; hitch has exit code 2 for this. */
export class LogFileError extends UsageError {}

/** Appends lines to a file, which rotation may rename, remove or replace at any time. */
export class LogFile {
  readonly path: string;
  /** Called once for consecutive failures to reopen the path, with the reason. */
  onReopenFailed: (reason: string) => void = () => {};
  /** As {@link LineWriter.onLost}. */
  onLost: (lines: number) => void = () => {};
  private readonly clock: Clock;
  private fd: number;
  private writer: LineWriter;
  /** The writer of the last lines of the previous file. There is at most one. */
  private previous: LineWriter | undefined;
  private closing: Promise<void> | undefined;
  private lastCheck: number;
  private isFailing = false;

  /** Throws a LogFileError. */
  constructor(path: string, clock: Clock = systemClock) {
    this.path = path;
    this.clock = clock;
    this.lastCheck = clock.now();
    try {
      this.fd = openSync(path, FLAGS, MODE);
    } catch (error) {
      throw new LogFileError(
        `--log-filename: cannot open ${path}: ${errorText(error)}; choose another path`,
      );
    }
    this.writer = this.newWriter();
  }

  /** Appends to the file now at the path, which is checked at most once a second. */
  write(line: string): void {
    const now = this.clock.now();
    if (now - this.lastCheck >= CHECK_INTERVAL_MS) {
      this.lastCheck = now;
      this.reopen();
    }
    this.writer.write(line);
  }

  /** As {@link LineWriter.addLost}. */
  addLost(lines: number): void {
    this.writer.addLost(lines);
  }

  /**
   * Opens the path again if it has another file, or none. On failure it keeps the old file and calls
   * `onReopenFailed`.
   */
  reopen(): void {
    if (this.isCurrent()) {
      this.isFailing = false;
      return;
    }
    let fd: number;
    try {
      fd = openSync(this.path, FLAGS, MODE);
    } catch (error) {
      if (this.isFailing) return;
      this.isFailing = true;
      return this.onReopenFailed(errorText(error));
    }
    this.isFailing = false;
    this.continueIn(fd);
  }

  /** Fulfilled when all lines are written, or after half a second. */
  async flush(): Promise<void> {
    await Promise.all([this.writer.flush(), this.closing]);
  }

  /** As {@link LineWriter.close}. */
  async close(): Promise<number> {
    const lost = await this.writer.close();
    await this.closing;
    return lost + this.writer.abandon();
  }

  /** The old file's writer may still have lines for a slow reader; only one such writer is kept. */
  private continueIn(fd: number): void {
    const { writer, previous } = this;
    this.fd = fd;
    this.writer = this.newWriter();
    if (previous) this.writer.addLost(previous.abandon());
    this.previous = writer;
    this.closing = writer.close().then((lost) => {
      this.writer.addLost(lost);
      if (this.previous === writer) this.previous = undefined;
    });
  }

  private isCurrent(): boolean {
    try {
      const there = statSync(this.path);
      const ours = fstatSync(this.fd);
      return there.dev === ours.dev && there.ino === ours.ino;
    } catch {
      return false;
    }
  }

  private newWriter(): LineWriter {
    const writer = new LineWriter(ownOutput(this.fd), this.clock);
    writer.onLost = (lines) => this.onLost(lines);
    return writer;
  }
}
