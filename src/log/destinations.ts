import type { Drainable, Sink } from "@logtape/logtape";
import type { Log } from "../base/log_entry.ts";
import type { Dialect } from "../base/dialect.ts";
import type { LogConfig } from "../options/config.ts";
import type { Libc } from "../os/libc.ts";
import { jsonLine, messageWithSubject, textLine } from "./format.ts";
import { entryLevel } from "./levels.ts";
import { LineWriter } from "./line_writer.ts";
import { LogFile } from "./log_file.ts";
import { standardError } from "./standard_error.ts";
import { facilityNumber, Syslog } from "./syslog.ts";

export interface LogContext {
  readonly libc: Libc;
  /** Its name identifies this program in the system log. */
  readonly dialect: Dialect;
  /** The socket of the system log; absent: /dev/log. */
  readonly syslogPath?: string;
}

/** Where the log goes: a file or standard error, and the system log as well where it is wanted. */
export class Destinations {
  private readonly context: LogContext;
  private readonly log: Log;
  /** Opened when it is first needed, and then kept. */
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

  /** The sinks for LogTape. Throws a LogFileError before anything has changed. */
  configure({ file, format, syslog }: LogConfig): Record<string, Sink> {
    if (file !== (this.file?.path ?? "")) this.switchTo(file);
    this.openSyslog(facilityNumber(syslog, this.context.dialect));
    const line = format === "json" ? jsonLine : textLine;
    const main: Sink & Drainable = Object.assign(
      (record: Parameters<Sink>[0]) => this.lines.write(line(record)),
      { drain: () => this.flush() },
    );
    const system = this.syslog;
    if (!system) return { main };
    return {
      main,
      system: (record) => system.write(entryLevel(record.level), messageWithSubject(record)),
    };
  }

  /** Logs it when the system log is wanted and does not answer. */
  reportUnreachable(): void {
    if (!this.syslog || this.syslog.isConnected) return;
    const { path } = this.syslog;
    this.log({
      level: "warn",
      event: "syslog-away",
      message: `cannot reach the system log at ${path}; its lines are lost until it is back`,
      facts: { path },
    });
  }

  reopen(): void {
    this.file?.reopen();
  }

  private get lines(): LogFile | LineWriter {
    return this.file ?? (this.stderr ??= this.openStderr());
  }

  private async flush(): Promise<void> {
    await Promise.all([this.lines.flush(), this.closing]);
  }

  private switchTo(path: string): void {
    const previous = this.file;
    this.file = path === "" ? undefined : this.openFile(path);
    this.closing = previous?.close().then((lost) => this.lines.addLost(lost));
  }

  private openFile(path: string): LogFile {
    const file = new LogFile(path);
    file.onLost = (lines) => this.reportLost(lines);
    file.onTrouble = (reason) =>
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
    const what = lines === 1 ? "1 log line was lost" : `${lines} log lines were lost`;
    this.log({
      level: "error",
      event: "log-dropped",
      message: `${what}: the log was full or too slow`,
      facts: { lines },
    });
  }
}
