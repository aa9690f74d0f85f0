/**
 * Notifies the service manager of our state (sd_notify(3)). Each message is a datagram; if the
 * manager's queue is full, it is sent again later. Nothing here blocks.
 */
import { getSystemErrorName } from "node:util";
import { type Clock, systemClock } from "../base/clock.ts";
import type { Log } from "../base/log_entry.ts";
import { oneLine } from "../base/one_line.ts";
import {
  AF_UNIX,
  EAGAIN,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
} from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import { monotonicMicroseconds } from "../os/monotonic_clock.ts";
import { MAX_UNIX_PATH, sockaddr } from "../os/sockaddr.ts";

/** Minimum time between two status messages, in milliseconds. */
const STATUS_INTERVAL_MS = 1000;
/** Time between two attempts to send a message, in milliseconds. */
const RETRY_MS = 100;
/** Maximum number of waiting messages; beyond it the oldest are dropped. */
const MAX_WAITING = 16;
/** Minimum time between two watchdog messages, in milliseconds, however short its timeout is. */
const MIN_WATCHDOG_INTERVAL_MS = 50;

/** The service manager's settings in our environment. */
export interface NotifySettings {
  /** A path or `@name`; absent if there is no service manager. */
  readonly socket?: string;
  /** Microseconds without a watchdog message after which the manager restarts us; absent: never. */
  readonly watchdog?: number;
}

export interface NotifyContext {
  readonly libc: Libc;
  readonly log: Log;
  readonly clock?: Clock;
}

/**
 * Reads the settings from the environment and removes them, so that no child process notifies in our
 * name. A watchdog for another process is ignored.
 */
export function notifySettings(
  environment: Record<string, string | undefined> = process.env,
  pid: number = process.pid,
): NotifySettings {
  const { NOTIFY_SOCKET, WATCHDOG_USEC = "", WATCHDOG_PID = String(pid) } = environment;
  delete environment.NOTIFY_SOCKET;
  delete environment.WATCHDOG_USEC;
  delete environment.WATCHDOG_PID;
  if (!NOTIFY_SOCKET) return {};
  const isOurs = WATCHDOG_PID === String(pid) && /^[1-9]\d{0,14}$/.test(WATCHDOG_USEC);
  return { socket: NOTIFY_SOCKET, ...(isOurs ? { watchdog: Number(WATCHDOG_USEC) } : {}) };
}

/** Notifies the service manager; without one it does nothing. */
export class Notifier {
  private settings: NotifySettings;
  private readonly libc: Libc;
  private readonly log: Log;
  private readonly clock: Clock;
  private readonly waiting: string[] = [];
  private lastStatus = "";
  private nextStatus: string | undefined;
  private isStatusHeld = false;
  private isFailing = false;

  /** Logs a socket that cannot be used, and then does nothing. */
  constructor(settings: NotifySettings, { libc, log, clock = systemClock }: NotifyContext) {
    this.settings = settings;
    this.libc = libc;
    this.log = log;
    this.clock = clock;
    const { socket } = settings;
    if (socket === undefined || addressOf(socket)) return;
    this.settings = {};
    this.warn(
      `cannot notify the service manager: NOTIFY_SOCKET is ${socket}, and stud supports only Unix ` +
        `sockets, as a path or @name of fewer than ${MAX_UNIX_PATH} bytes`,
    );
  }

  /** True if there is a service manager. */
  get isWanted(): boolean {
    return this.settings.socket !== undefined;
  }

  /** The service is up, or a reload has ended, successful or not. `status` is as in `status`. */
  ready(status: string): void {
    this.state("READY=1", status);
  }

  /** A reload begins; {@link ready} ends it. */
  reloading(): void {
    if (!this.isWanted) return;
    this.send(`RELOADING=1\nMONOTONIC_USEC=${monotonicMicroseconds(this.libc)}`);
  }

  /** A stop begins. */
  stopping(status: string): void {
    this.state("STOPPING=1", status);
  }

  /** One line for `systemctl status`; it is sent when it changes, at most once a second. */
  status(text: string): void {
    this.nextStatus = text;
    if (!this.isStatusHeld) this.sendStatus();
  }

  /** Another process, of the same unit, is the service from now on. */
  mainPid(pid: number): void {
    this.send(`MAINPID=${pid}`);
  }

  /** A start, reload or stop may take `seconds` more, whatever the unit allows. */
  extend(seconds: number): void {
    this.send(`EXTEND_TIMEOUT_USEC=${Math.ceil(seconds * 1_000_000)}`);
  }

  /** Notifies the watchdog twice in its timeout, while the event loop runs and `isAlive` holds. */
  watchdog(isAlive: () => boolean): void {
    const { watchdog } = this.settings;
    if (watchdog === undefined) return;
    const interval = watchdog / 2000;
    if (interval < MIN_WATCHDOG_INTERVAL_MS) {
      this.warn(
        `a watchdog timeout of ${watchdog / 1000} ms is too short for stud, which notifies the ` +
          `service manager every ${MIN_WATCHDOG_INTERVAL_MS} ms at most; raise WatchdogSec=`,
      );
    }
    this.keepAlive(isAlive, Math.max(interval, MIN_WATCHDOG_INTERVAL_MS));
  }

  /** Stops all notifications, because the manager watches another process. */
  silence(): void {
    this.settings = {};
    this.waiting.length = 0;
  }

  private keepAlive(isAlive: () => boolean, interval: number): void {
    if (!this.isWanted) return;
    if (isAlive()) this.send("WATCHDOG=1");
    this.clock.after(interval, () => this.keepAlive(isAlive, interval));
  }

  private state(state: string, status: string): void {
    this.lastStatus = status;
    this.nextStatus = undefined;
    this.send(`${state}\n${assignment(status)}`);
  }

  private sendStatus(): void {
    const text = this.nextStatus;
    this.nextStatus = undefined;
    this.isStatusHeld = false;
    if (!this.isWanted || text === undefined || text === this.lastStatus) return;
    this.lastStatus = text;
    this.isStatusHeld = true;
    this.send(assignment(text));
    this.clock.after(STATUS_INTERVAL_MS, () => this.sendStatus());
  }

  /** Sends a message after those that wait. */
  private send(message: string): void {
    if (!this.isWanted) return;
    this.waiting.push(message);
    if (this.waiting.length > MAX_WAITING) this.waiting.shift();
    if (this.waiting.length === 1) this.sendWaiting();
  }

  private sendWaiting(): void {
    while (this.waiting.length > 0) {
      const errno = this.trySend(this.waiting[0]!);
      if (errno === EAGAIN) {
        this.clock.after(RETRY_MS, () => this.sendWaiting());
        return;
      }
      this.waiting.shift();
      this.logFailure(errno);
    }
  }

  /** Returns 0 or the errno. A new socket for each message reaches a restarted manager too. */
  private trySend(message: string): number {
    const address = addressOf(this.settings.socket!)!;
    const fd = this.libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return this.libc.errno();
    const bytes = new TextEncoder().encode(message);
    const isSent = this.libc.connect(fd, address, address.length) === 0 &&
      this.libc.send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL) === bytes.length;
    const errno = isSent ? 0 : this.libc.errno();
    this.libc.close(fd);
    return errno;
  }

  /** Logs the first of several failures in a row. */
  private logFailure(errno: number): void {
    const isFailing = errno !== 0;
    if (isFailing && !this.isFailing) {
      const reason = getSystemErrorName(-errno);
      this.warn(
        `cannot notify the service manager at ${this.settings.socket} (${reason}); check NOTIFY_SOCKET`,
      );
    }
    this.isFailing = isFailing;
  }

  private warn(message: string): void {
    this.log({ level: "warn", event: "notify-failed", message, facts: {} });
  }
}

/** Escapes line breaks, as in a socket's path, which would begin another assignment. */
function assignment(status: string): string {
  return `STATUS=${oneLine(status)}`;
}

/** Returns undefined for anything but a path or an abstract name that fits a `sockaddr_un`. */
function addressOf(socket: string): Uint8Array | undefined {
  const isAddress = /^[/@]./.test(socket) && Buffer.byteLength(socket) < MAX_UNIX_PATH;
  return isAddress ? sockaddr({ family: "unix", path: socket }) : undefined;
}
