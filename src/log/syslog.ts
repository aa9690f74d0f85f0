/**
 * Syslog through its local socket, in the format of RFC 3164 section 4.1 without a host name, as the
 * C library writes it. Lines that the socket does not accept are counted; nothing here blocks, except
 * in the access log's helper.
 */
import type { LogLevel } from "../base/log_entry.ts";
import type { Dialect } from "../base/dialect.ts";
import { syslogFacilities } from "../base/syslog_facilities.ts";
import {
  AF_UNIX,
  EAGAIN,
  EMSGSIZE,
  EPROTOTYPE,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SO_SNDTIMEO,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import { sockaddr } from "../os/sockaddr.ts";
import { seconds } from "../os/structures.ts";

const severities: Readonly<Record<LogLevel, number>> = { error: 3, warn: 4, info: 6, debug: 7 };

const SOCKET = "/dev/log";
/** Maximum size of a record, in bytes, including its header. */
const MAX_RECORD = 8192;
/** Minimum time between two attempts to connect, in milliseconds. */
const RETRY_MS = 1000;
/** How long a write may block, if it may. */
const WAIT_SECONDS = 1;

const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/**
 * Returns the number of a facility by its name, or undefined. The original stud logs `auth` to the
 * facility authpriv, hitch to auth.
 */
export function facilityNumber(name: string, dialect: Dialect): number | undefined {
  const given = dialect === "stud" && name === "auth" ? "authpriv" : name;
  return Object.hasOwn(syslogFacilities, given) ? syslogFacilities[given] : undefined;
}

/** Sends lines to one facility of syslog. */
export class Syslog {
  /** The socket of the syslog daemon. */
  readonly path: string;
  private readonly libc: Libc;
  private readonly facility: number;
  private readonly ident: string;
  private readonly now: () => number;
  private readonly waits: boolean;
  private readonly record = new Uint8Array(MAX_RECORD);
  private fd = -1;
  private isStream = false;
  private lastAttempt = -Infinity;
  private lost = 0;

  /**
   * `facility` is from {@link facilityNumber}, `ident` the name of the program. `now` returns
   * monotonic milliseconds. `waits`: a write blocks for up to a second while the daemon does not read.
   */
  constructor(
    libc: Libc,
    facility: number,
    ident: string,
    { path = SOCKET, now = () => performance.now(), waits = false } = {},
  ) {
    this.libc = libc;
    this.facility = facility;
    this.ident = ident;
    this.path = path;
    this.now = now;
    this.waits = waits;
    this.connect();
  }

  /** False after a line could not be sent, until the next successful attempt to connect. */
  get isConnected(): boolean {
    return this.fd >= 0;
  }

  /**
   * `line` has no control characters; a record is truncated to 8 KiB. Returns false if the line is
   * lost.
   */
  write(level: LogLevel, line: string): boolean {
    if (!this.send(level, line)) {
      this.lost++;
      return false;
    }
    if (this.lost > 0 && this.send("error", lostText(this.lost))) this.lost = 0;
    return true;
  }

  close(): void {
    if (this.fd >= 0) this.libc.close(this.fd);
    this.fd = -1;
  }

  /** Returns false if the line was not accepted. */
  private send(level: LogLevel, line: string): boolean {
    if (this.fd < 0 && !this.connect()) return false;
    const length = this.fill(level, line);
    const sent = this.trySend(length);
    // A restarted syslog daemon has a new socket at the same path.
    return sent ?? (this.connect() && this.trySend(length) === true);
  }

  /** Returns undefined if the connection is lost. */
  private trySend(length: number): boolean | undefined {
    const flags = this.waits ? MSG_NOSIGNAL : MSG_DONTWAIT | MSG_NOSIGNAL;
    const sent = this.libc.send(this.fd, this.record, length, flags);
    if (sent === length) return true;
    const errno = sent < 0 ? this.libc.errno() : 0;
    if (errno === EAGAIN || errno === EMSGSIZE) return false;
    this.close();
    // A partially sent record in a stream can only be ended by closing the stream.
    return sent < 0 ? undefined : false;
  }

  private connect(): boolean {
    if (this.now() - this.lastAttempt < RETRY_MS) return false;
    this.lastAttempt = this.now();
    const errno = this.connectAs(SOCK_DGRAM);
    return errno === 0 || (errno === EPROTOTYPE && this.connectAs(SOCK_STREAM) === 0);
  }

  /** Returns 0, or the errno of the failure. */
  private connectAs(type: number): number {
    const flags = this.waits ? SOCK_CLOEXEC : SOCK_NONBLOCK | SOCK_CLOEXEC;
    const fd = this.libc.socket(AF_UNIX, type | flags, 0);
    if (fd < 0) return this.libc.errno();
    if (this.waits) {
      const limit = seconds(WAIT_SECONDS);
      this.libc.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, limit, limit.length);
    }
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

  /** Writes the record and returns its length. In a stream, a 0 byte ends it, as in glibc. */
  private fill(level: LogLevel, line: string): number {
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

function lostText(lines: number): string {
  const what = lines === 1 ? "1 log line was lost" : `${lines} log lines were lost`;
  return `${what}: syslog did not accept them`;
}

/** `Jan  2 03:04:05` in local time. */
function timestamp(date: Date): string {
  const day = String(date.getDate()).padStart(2);
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((part) => String(part).padStart(2, "0")).join(":");
  return `${months[date.getMonth()]} ${day} ${clock}`;
}
