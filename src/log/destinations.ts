import type { Drainable, LogRecord, Sink, TextFormatter } from "@logtape/logtape";
import type { Dialect } from "../base/dialect.ts";
import type { Log } from "../base/log_entry.ts";
import type { LogConfig } from "../options/config.ts";
import type { Libc } from "../os/libc.ts";
import { jsonLine, syslogText, textLine } from "./format.ts";
import { entryLevel } from "./levels.ts";
import { LineWriter } from "./line_writer.ts";
import { LogFile } from "./log_file.ts";
import { standardError } from "./standard_error.ts";
import { facilityNumber, Syslog } from "./syslog.ts";

export interface LogContext {
  readonly libc: Libc;
  /** Its name identifies this program in syslog. */
  readonly dialect: Dialect;
  /** The socket of syslog; absent: /dev/log. */
  readonly syslogPath?: string;
  /** Called with the number of lines that were lost, once the log accepts lines again. */
  lost?(lines: number): void;
}

/** New settings for a log. Everything that can fail is done. */
export interface Change<Result> {
  /** Applies the settings. */
  commit(): Result;
  /** Closes what was opened for them. */
  drop(): void;
}

/** Where the log goes: a file or standard error, and syslog as well if it is configured. */
export class Destinations {
  private readonly context: LogContext;
  private readonly log: Log;
  /** Opened when first needed, and then kept. */
  private stderr: LineWriter | undefined;
  private file: LogFile | undefined;
  private facility: number | undefined;
  private syslog: Syslog | undefined;
  /** Fulfilled when the previous log file is closed. */
  private closing: Promise<void> | undefined;

  constructor(context: LogContext, log: Log) {
    this.context = context;
    this.log = log;
  }

  /** Opens the file of these settings. `commit` returns the sinks. Throws a LogFileError. */
  prepare({ file, format, syslog }: LogConfig): Change<Record<string, Sink>> {
    const isSame = file === (this.file?.path ?? "");
    const opened = isSame || file === "" ? undefined : this.openFile(file);
    return {
      commit: () => {
        if (!isSame) this.switchTo(opened);
        this.openSyslog(facilityNumber(syslog, this.context.dialect));
        return this.sinks(format === "json" ? jsonLine : textLine);
      },
      drop: () => void opened?.close(),
    };
  }

  /** Logs a warning if syslog is configured and cannot be reached. */
  reportUnreachable(): void {
    if (!this.syslog || this.syslog.isConnected) return;
    const { path } = this.syslog;
    this.log({
      level: "warn",
      event: "syslog-away",
      message: `cannot reach syslog at ${path}; lines for it are lost until it is available`,
      facts: {},
    });
  }

  reopen(): void {
    this.file?.reopen();
  }

  private sinks(format: TextFormatter): Record<string, Sink> {
    const lines: Sink & Drainable = Object.assign(
      (record: LogRecord) => this.lines.write(format(record)),
      { drain: () => this.flush() },
    );
    const { syslog } = this;
    if (!syslog) return { lines };
    return {
      lines,
      syslog: (record) => syslog.write(entryLevel(record.level), syslogText(record)),
    };
  }

  private get lines(): LogFile | LineWriter {
    return this.file ?? (this.stderr ??= this.openStderr());
  }

  private async flush(): Promise<void> {
    await Promise.all([this.lines.flush(), this.closing]);
  }

  private switchTo(file: LogFile | undefined): void {
    const previous = this.file;
    this.file = file;
    this.closing = previous?.close().then((lost) => this.lines.addLost(lost));
  }

  private openFile(path: string): LogFile {
    const file = new LogFile(path);
    file.onLost = (lines) => this.reportLost(lines);
    file.onReopenFailed = (reason) =>
      this.log({
        level: "error",
        event: "log-not-reopened",
        message: `cannot reopen the log file ${path}: ${reason}; still writing to the old file`,
        facts: { file: path, cause: reason },
      });
    return file;
  }

  private openStderr(): LineWriter {
    const writer = new LineWriter(standardError(this.context.libc));
    writer.onLost = (lines) => this.reportLost(lines);
    return writer;
  }

  private openSyslog(facility: number | undefined): void {
    if (facility === this.facility) return;
    const { libc, dialect, syslogPath } = this.context;
    this.syslog?.close();
    this.facility = facility;
    this.syslog = facility === undefined
      ? undefined
      : new Syslog(libc, facility, dialect, syslogPath === undefined ? {} : { path: syslogPath });
  }

  private reportLost(lines: number): void {
    this.context.lost?.(lines);
    const what = lines === 1 ? "1 log line was lost" : `${lines} log lines were lost`;
    this.log({
      level: "error",
      event: "log-dropped",
      message: `${what}: the log was full or too slow`,
      facts: { lines },
    });
  }
}
