/**
 * What the service manager is told about our state (sd_notify(3)). Each message is a datagram; one
 * that finds the manager's queue full is sent again, and nothing here ever waits.
 */
import { getSystemErrorName } from "node:util";
import { type Clock, systemClock } from "../base/clock.ts";
import type { Log } from "../log.ts";
import { MAX_UNIX_PATH } from "../os/sockaddr.ts";
import { sockaddr } from "../os/sockaddr.ts";
import { monotonicMicroseconds } from "../os/monotonic_clock.ts";
import { EINVAL } from "../os/constants.ts";
import { EAGAIN } from "../os/constants.ts";
import { MSG_NOSIGNAL } from "../os/constants.ts";
import { MSG_DONTWAIT } from "../os/constants.ts";
import { SOCK_CLOEXEC } from "../os/constants.ts";
import { SOCK_DGRAM } from "../os/constants.ts";
import { AF_UNIX } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";

/** Between two messages that tell a new status, in milliseconds. */
const STATUS_PAUSE_MS = 1000;
/** Before a message is sent again that was not taken, in milliseconds. */
const RETRY_MS = 100;
/** Messages that wait; then the oldest are given up. */
const MAX_WAITING = 16;

/** What the service manager set in our environment. */
export interface NotifySettings {
  /** A path or `@name`; absent: nobody wants to know. */
  readonly socket?: string;
  /** Microseconds of silence after which this process is taken for dead; absent: never. */
  readonly watchdog?: number;
}

export interface NotifyContext {
  readonly libc: Libc;
  readonly log: Log;
  readonly clock?: Clock;
}

/**
 * The settings in the environment, from which they are removed, so that no child speaks for us. A
 * watchdog that is meant for another process is left out.
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
  const isMeant = WATCHDOG_PID === String(pid) && /^[1-9]\d{0,14}$/.test(WATCHDOG_USEC);
  return { socket: NOTIFY_SOCKET, ...(isMeant ? { watchdog: Number(WATCHDOG_USEC) } : {}) };
}

/** Tells the service manager; without one it does nothing. */
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

  constructor(settings: NotifySettings, { libc, log, clock = systemClock }: NotifyContext) {
    this.settings = settings;
    this.libc = libc;
    this.log = log;
    this.clock = clock;
  }

  /** There is somebody to tell. */
  get isWanted(): boolean {
    return this.settings.socket !== undefined;
  }

  /** It serves, or has ended a reload, whatever came of that. `status` is one line. */
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

  /** One line for `systemctl status`; may be called often: told when it changes, once a second. */
  status(text: string): void {
    this.nextStatus = text;
    if (!this.isStatusHeld) this.tellStatus();
  }

  /** Another process is the service from now on. It has to run in the same unit. */
  mainPid(pid: number): void {
    this.send(`MAINPID=${pid}`);
  }

  /** A start, reload or stop takes longer than the unit says: at least `seconds` from now. */
  extend(seconds: number): void {
    this.send(`EXTEND_TIMEOUT_USEC=${Math.ceil(seconds * 1_000_000)}`);
  }

  /** Gives the watchdog its signs of life, as long as the event loop turns and `isAlive` holds. */
  watchdog(isAlive: () => boolean): void {
    const { watchdog } = this.settings;
    if (watchdog === undefined) return;
    if (isAlive()) this.send("WATCHDOG=1");
    this.clock.after(watchdog / 2000, () => this.watchdog(isAlive));
  }

  /** Says nothing any more: the manager means another process, or has been told of another. */
  silence(): void {
    this.settings = {};
    this.waiting.length = 0;
  }

  private state(state: string, status: string): void {
    this.lastStatus = status;
    this.nextStatus = undefined;
    this.send(`${state}\nSTATUS=${status}`);
  }

  private tellStatus(): void {
    const text = this.nextStatus;
    this.nextStatus = undefined;
    this.isStatusHeld = false;
    if (!this.isWanted || text === undefined || text === this.lastStatus) return;
    this.lastStatus = text;
    this.isStatusHeld = true;
    this.send(`STATUS=${text}`);
    this.clock.after(STATUS_PAUSE_MS, () => this.tellStatus());
  }

  /** In order, behind those that wait. */
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
      this.tellTrouble(errno);
    }
  }

  /** 0, or the errno of the failure. A socket for each message finds a manager that was restarted. */
  private trySend(message: string): number {
    const address = addressOf(this.settings.socket!);
    if (!address) return EINVAL;
    const fd = this.libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return this.libc.errno();
    const bytes = new TextEncoder().encode(message);
    const isSent = this.libc.connect(fd, address, address.length) === 0 &&
      this.libc.send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL) === bytes.length;
    const errno = isSent ? 0 : this.libc.errno();
    this.libc.close(fd);
    return errno;
  }

  /** Once until it changes. */
  private tellTrouble(errno: number): void {
    const isFailing = errno !== 0;
    if (isFailing && !this.isFailing) {
      const message = `the service manager cannot be told our state at ${this.settings.socket} ` +
        `(${getSystemErrorName(-errno)}); leave NOTIFY_SOCKET to it`;
      this.log({ level: "warn", event: "notify-failed", message, facts: {} });
    }
    this.isFailing = isFailing;
  }
}

/** Undefined for what is neither a path nor an abstract name, or too long. */
function addressOf(socket: string): Uint8Array | undefined {
  const isAddress = /^[/@]./.test(socket) && Buffer.byteLength(socket) < MAX_UNIX_PATH;
  return isAddress ? sockaddr({ family: "unix", path: socket }) : undefined;
}
