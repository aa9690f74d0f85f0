import { accessLine, type AccessLogFormat } from "../access_log/format.ts";
import { DropReports } from "../access_log/drop_reports.ts";
import { LineBatches } from "../access_log/line_batches.ts";
import { nonBlockingPipe } from "../access_log/reopen.ts";
import type { AccessRecord } from "../access_log/record.ts";
import type { Log } from "../base/log_entry.ts";
import type { Libc } from "../os/libc.ts";

/** How a worker writes the access log. */
export interface AccessWriterSettings {
  /** The inherited descriptor of the pipe. */
  readonly pipe: number;
  readonly format: AccessLogFormat;
  /** `1/N`: one of N connections is logged. */
  readonly sample: string;
}

/** Writes the access log's lines of a worker. */
export class AccessWriter {
  private readonly settings: AccessWriterSettings;
  private readonly every: number;
  private readonly batches: LineBatches;
  private readonly reports: DropReports;

  /**
   * To be called before privileges are dropped. `counted` is called with the number of lines that were dropped; they
   * are logged as well.
   */
  constructor(
    libc: Libc,
    settings: AccessWriterSettings,
    log: Log,
    counted: (lines: number) => void,
  ) {
    this.settings = settings;
    this.every = Number(settings.sample.slice("1/".length));
    const reports = this.reports = new DropReports(log);
    const pipe = nonBlockingPipe(libc, settings.pipe);
    this.batches = new LineBatches(
      (bytes) => libc.write(pipe, bytes, bytes.length) === bytes.length,
      (lines) => {
        counted(lines);
        reports.add(lines, "its file or its reader is too slow");
      },
    );
  }

  /** Whether the connection with this number is logged. */
  takes(id: number): boolean {
    return (id - 1) % this.every === 0;
  }

  write(record: AccessRecord): void {
    this.batches.add(accessLine(record, this.settings.format));
  }

  /** To be called before the process exits. */
  end(): void {
    this.batches.end();
    this.reports.flush();
  }
}
