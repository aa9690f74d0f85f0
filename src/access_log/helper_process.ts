/**
 * The helper that writes the access log: it reads lines from a pipe and writes them to a file, to
 * standard output or to syslog. It has no other task, so it may block; workers drop their lines
 * meanwhile. It runs without an event loop: poll(2) waits for the pipe, the output and the master.
 */
import process from "node:process";
import { reasonOf } from "../base/errors.ts";
import { EVENTS_FD, frame, FrameReader, MAX_FRAME_DOWN } from "../control/channel.ts";
import { internalError } from "../log/internal_error.ts";
import { Syslog } from "../log/syslog.ts";
import { EINTR, MSG_DONTWAIT, MSG_NOSIGNAL, POLLIN, POLLOUT } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import { pollEntry, pollEvents } from "../os/structures.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { dropPrivileges } from "../system/drop_privileges.ts";
import { dieBeforeMaster } from "../system/oom_score.ts";
import { OUTPUT_FD, PIPE_FD } from "./command_line.ts";
import type {
  AccessLogCommand,
  AccessLogEvent,
  AccessLogOutput,
  AccessLogStart,
} from "./messages.ts";
import { fileBehind, isSameFile, openFile } from "./output_file.ts";
import { fileOutput, type HelperOutput, syslogOutput } from "./outputs.ts";

import { PendingLines } from "./pending_lines.ts";
import { reopenedForWriting } from "./reopen.ts";

/** How often it checks whether its file was renamed or removed, in milliseconds. */
const CHECK_INTERVAL_MS = 1000;
/** How long it waits for the output when nothing else is left to wait for, in milliseconds. */
const LAST_WAIT_MS = 1000;
const READ_SIZE = 64 * 1024;

/** Runs this process as the helper; does not return. */
export function runAccessLog({ libc }: Pick<Runtime, "libc">): void {
  dieBeforeMaster();
  // They reach the whole foreground process group, and the last lines are still to come.
  for (const signal of ["SIGINT", "SIGTERM", "SIGQUIT"]) process.on(signal, () => {});
  process.exit(new AccessLogHelper(libc).run());
}

class IsLogFile extends Error {}

class AccessLogHelper {
  private readonly libc: Libc;
  private readonly commands = new FrameReader<AccessLogCommand>(MAX_FRAME_DOWN, {
    // The master is trusted.
    parse: (value) => value as AccessLogCommand,
    handle: (command) => this.handle(command),
    internalError: (error) => this.report({ type: "log", entry: internalError(error) }),
  });
  private readonly lines = new PendingLines();
  private readonly bytes = new Uint8Array(READ_SIZE);
  private output: HelperOutput | undefined;
  /** Where the output writes; -1 for syslog. */
  private fd = -1;
  /** Of the file, and what the kernel called it when it was opened. */
  private path: string | undefined;
  private file: string | undefined;
  private checkedAt = performance.now();
  private hasBegun = false;
  private isEnding = false;
  /** The master has exited. */
  private isOrphan = false;
  /** No process has the other end of the pipe any more. */
  private isPipeEnded = false;
  private isOutputFull = false;
  private hasFailed = false;
  /** Lines that were lost while the master did not read. */
  private unreported = 0;

  constructor(libc: Libc) {
    this.libc = libc;
  }

  /** Returns the exit code. */
  run(): number {
    while (!this.isDone) {
      const hasLast = this.isOrphan && this.isPipeEnded;
      const [input, pipe] = this.wait(hasLast ? LAST_WAIT_MS : -1);
      if (input) this.readCommands();
      if (pipe) this.readPipe();
      if (hasLast && this.isOutputFull && !this.canWrite()) return 1;
      this.write();
    }
    return this.hasFailed ? 1 : 0;
  }

  private get isDone(): boolean {
    if (this.hasFailed) return true;
    // The master has exited before it had anything to write.
    if (this.isOrphan && !this.hasBegun) return true;
    return this.lines.isEmpty && (this.isPipeEnded || (this.isEnding && !this.lines.isTorn));
  }

  /** Waits for the master and the pipe, or for the output. Returns which of the first two have bytes. */
  private wait(timeout: number): readonly [boolean, boolean] {
    const { isOrphan, isOutputFull } = this;
    const reads = this.hasBegun && !this.isPipeEnded && this.lines.isEmpty;
    const entries = [
      pollEntry(isOrphan ? -1 : 0, POLLIN),
      pollEntry(reads ? PIPE_FD : -1, POLLIN),
      pollEntry(isOutputFull ? this.fd : -1, POLLOUT),
    ];
    const all = new Uint8Array(Buffer.concat(entries));
    if (this.libc.poll(all, entries.length, timeout) <= 0) return [false, false];
    const happened = (place: number) => pollEvents(all.subarray(place * 8)) !== 0;
    return [happened(0), happened(1)];
  }

  private canWrite(): boolean {
    return this.libc.poll(pollEntry(this.fd, POLLOUT), 1, 0) > 0;
  }

  private readCommands(): void {
    const length = this.libc.read(0, this.bytes, READ_SIZE);
    if (length > 0) this.commands.push(this.bytes.subarray(0, length));
    else if (length === 0 || this.libc.errno() !== EINTR) this.isOrphan = true;
  }

  /** To the end of a line only, if another helper goes on. */
  private readPipe(): void {
    const size = this.isEnding ? 1 : READ_SIZE;
    const length = this.libc.read(PIPE_FD, this.bytes, size);
    if (length > 0) this.lines.add(this.bytes.subarray(0, length));
    else if (length === 0) this.isPipeEnded = true;
    if (this.isPipeEnded) this.lines.dropTorn();
  }

  private write(): void {
    this.isOutputFull = false;
    while (!this.lines.isEmpty) {
      const written = this.output!.write(this.lines.bytes);
      if (written === "full") {
        this.isOutputFull = true;
        break;
      }
      if (typeof written === "number") this.lines.taken(written);
      else {
        const lines = this.unreported + this.lines.drop();
        this.unreported = this.report({ type: "lost", lines, cause: written.cause }) ? 0 : lines;
      }
    }
    this.check();
  }

  private check(): void {
    const now = performance.now();
    if (this.file === undefined || now - this.checkedAt < CHECK_INTERVAL_MS) return;
    this.checkedAt = now;
    if (fileBehind(this.fd) !== this.file) this.report({ type: "moved" });
  }

  private handle(command: AccessLogCommand): void {
    if (command.type === "start") return this.start(command);
    if (command.type === "end") this.isEnding = true;
    else if (command.type === "check") {
      if (this.path !== undefined && !isSameFile(this.fd, this.path)) {
        this.report({ type: "moved" });
      }
    } else {
      this.hasBegun = true;
      if (command.isTorn) this.lines.skipTorn();
    }
  }

  private start({ output, ids }: AccessLogStart): void {
    this.report({ type: "opening" });
    try {
      this.open(output);
    } catch (error) {
      const isLog = error instanceof IsLogFile;
      this.report({ type: "failed", cause: reasonOf(error), isLog });
      this.hasFailed = true;
      return;
    }
    try {
      // Without a chroot: the socket of syslog is outside.
      dropPrivileges(this.libc, ids && { ...ids, chroot: "" });
    } catch (error) {
      const message = `the access log's helper cannot start: ${reasonOf(error)}`;
      const entry = { level: "error", event: "access-log-exited", message, facts: {} } as const;
      this.report({ type: "log", entry });
      this.hasFailed = true;
      return;
    }
    this.report({ type: "ready" });
  }

  /** Before privileges are dropped: the file belongs to the user that started the master. */
  private open(output: AccessLogOutput): void {
    if (output === "standard output") {
      this.fd = reopenedForWriting(OUTPUT_FD) ?? OUTPUT_FD;
      this.output = fileOutput(this.libc, this.fd);
    } else if ("syslog" in output) {
      const { facility, dialect } = output.syslog;
      this.output = syslogOutput(new Syslog(this.libc, facility, dialect, { waits: true }));
    } else {
      this.fd = openFile(output.file);
      if (output.logFile !== "" && isSameFile(this.fd, output.logFile)) throw new IsLogFile();
      this.path = output.file;
      this.file = fileBehind(this.fd);
      this.output = fileOutput(this.libc, this.fd);
    }
  }

  /** Returns false if the master does not read. The kernel takes so short a frame as a whole. */
  private report(event: AccessLogEvent): boolean {
    const bytes = frame(event);
    const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    return this.libc.send(EVENTS_FD, bytes, bytes.length, flags) === bytes.length;
  }
}
