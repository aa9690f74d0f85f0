/**
 * The system's log by its local socket, in the form of RFC 3164 section 4.1 without a host name, as
 * the C library writes it. Nothing here ever waits: what the socket does not take is counted.
 */
import type { Dialect } from "../base/dialect.ts";
import { syslogFacilities } from "../base/syslog_facilities.ts";
import { sockaddr } from "../os/sockaddr.ts";
import { EPROTOTYPE } from "../os/constants.ts";
import { EMSGSIZE } from "../os/constants.ts";
import { EAGAIN } from "../os/constants.ts";
import { MSG_NOSIGNAL } from "../os/constants.ts";
import { MSG_DONTWAIT } from "../os/constants.ts";
import { SOCK_CLOEXEC } from "../os/constants.ts";
import { SOCK_NONBLOCK } from "../os/constants.ts";
import { SOCK_DGRAM } from "../os/constants.ts";
import { SOCK_STREAM } from "../os/constants.ts";
import { AF_UNIX } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";

const severities = { error: 3, warn: 4, info: 6, debug: 7 } as const;

const SOCKET = "/dev/log";
/** Bytes of a record, its head included. */
const MAX_RECORD = 8192;
/** Between two attempts to reach a log that is away. */
const RETRY_MS = 1000;

const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/**
 * The number of a facility by its name, or undefined. stud has always sent `auth` to the private
 * one, hitch takes it at its word.
 */
export function facilityNumber(name: string, dialect: Dialect): number | undefined {
  const given = dialect === "stud" && name === "auth" ? "authpriv" : name;
  return Object.hasOwn(syslogFacilities, given) ? syslogFacilities[given] : undefined;
}

/** Lines to one facility, under the name of the program. */
export class Syslog {
  private readonly libc: Libc;
  private readonly facility: number;
  private readonly ident: string;
  private readonly path: string;
  private readonly now: () => number;
  private readonly record = new Uint8Array(MAX_RECORD);
  private fd = -1;
  private isStream = false;
  private lastAttempt = -Infinity;
  private lost = 0;

  /** `facility` as from {@link facilityNumber}; `now` are milliseconds that never jump. */
  constructor(
    libc: Libc,
    facility: number,
    ident: string,
    { path = SOCKET, now = () => performance.now() } = {},
  ) {
    this.libc = libc;
    this.facility = facility;
    this.ident = ident;
    this.path = path;
    this.now = now;
    this.connect();
  }

  /** There is a log, as far as is known. */
  get isConnected(): boolean {
    return this.fd >= 0;
  }

  /** One line without control characters; what is beyond 8 KiB is cut off. */
  write(level: keyof typeof severities, line: string): void {
    if (!this.send(level, line)) {
      this.lost++;
      return;
    }
    if (this.lost === 0) return;
    if (this.send("error", `${this.lost} lines were lost on the way to this log`)) this.lost = 0;
  }

  close(): void {
    if (this.fd >= 0) this.libc.close(this.fd);
    this.fd = -1;
  }

  /** False when the line was not taken. */
  private send(level: keyof typeof severities, line: string): boolean {
    if (this.fd < 0 && !this.connect()) return false;
    const length = this.fill(level, line);
    const sent = this.trySend(length);
    // A log that was restarted has a new socket at the same path.
    return sent ?? (this.connect() && this.trySend(length) === true);
  }

  /** Undefined when the connection is gone. */
  private trySend(length: number): boolean | undefined {
    const sent = this.libc.send(this.fd, this.record, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent === length) return true;
    const errno = sent < 0 ? this.libc.errno() : 0;
    if (errno === EAGAIN || errno === EMSGSIZE) return false;
    this.close();
    // A part of a record in a stream can only be ended by ending the stream.
    return sent < 0 ? undefined : false;
  }

  private connect(): boolean {
    if (this.now() - this.lastAttempt < RETRY_MS) return false;
    this.lastAttempt = this.now();
    const errno = this.connectAs(SOCK_DGRAM);
    return errno === 0 || (errno === EPROTOTYPE && this.connectAs(SOCK_STREAM) === 0);
  }

  /** 0, or the errno of the failure. */
  private connectAs(type: number): number {
    const fd = this.libc.socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return this.libc.errno();
    const address = sockaddr({ family: "unix", path: this.path });
    if (this.libc.connect(fd, address, address.length) !== 0) {
      const errno = this.libc.errno();
      this.libc.close(fd);
      return errno;
    }
    this.fd = fd;
    this.isStream = type === SOCK_STREAM;
    return 0;
  }

  /** Writes the record and returns its length. In a stream a 0 byte ends each, as glibc has it. */
  private fill(level: keyof typeof severities, line: string): number {
    const priority = this.facility * 8 + severities[level];
    const text = `<${priority}>${timestamp(new Date())} ${this.ident}[${process.pid}]: ${line}`;
    const room = this.isStream ? MAX_RECORD - 1 : MAX_RECORD;
    // Stops before a character that does not fit.
    const { written } = new TextEncoder().encodeInto(text, this.record.subarray(0, room));
    if (!this.isStream) return written;
    this.record[written] = 0;
    return written + 1;
  }
}

/** `Jan  2 03:04:05` in local time. */
function timestamp(date: Date): string {
  const day = String(date.getDate()).padStart(2);
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((part) => String(part).padStart(2, "0")).join(":");
  return `${months[date.getMonth()]} ${day} ${clock}`;
}
