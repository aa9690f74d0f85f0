/** The admin endpoint's sockets and its helper, through starts, reloads, upgrades and stops. */
import { AdminHelper, type AdminService, spawnAdmin } from "../admin/admin_helper.ts";
import type { AdminPlan } from "../admin/admin_plan.ts";
import type { Log } from "../base/log_entry.ts";
import type { HeldAddress } from "../master/listeners/held_address.ts";
import { type Claim, Listeners } from "../master/listeners/listeners.ts";
import { formatEndpoint } from "../options/address.ts";
import { SO_RCVTIMEO, SOL_SOCKET } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import type { ListenerSettings } from "../os/socket_options.ts";
import { seconds } from "../os/structures.ts";
import type { Runtime } from "../runtime/runtime.ts";

/** Only the master's user may use a Unix socket. */
const PURPOSE = { option: "--admin", mode: 0o600, reopens: true } as const;

/** A client that is gone is noticed after some 75 seconds. */
const SETTINGS: ListenerSettings = {
  keepalive: 30,
  tcpUserTimeout: 30,
  tcpFastopen: false,
  recvBufsize: 0,
  sendBufsize: 0,
  backlog: 128,
};

const CHECK_INTERVAL_MS = 1000;

interface Opened {
  readonly plan: AdminPlan | undefined;
  readonly claim: Claim;
}

/** Serves the admin endpoint of the configuration in use, if it has one. */
export class AdminEndpoint {
  private readonly libc: Libc;
  private readonly log: Log;
  private readonly listeners: Listeners;
  private readonly helper: AdminHelper;
  private next: Opened | undefined;
  private checks: ReturnType<typeof setInterval> | undefined;
  /** The addresses that were logged last. */
  private announced = "";

  /** `inherited` are the sockets of a predecessor. */
  constructor(
    runtime: Runtime,
    log: Log,
    service: AdminService,
    inherited: readonly HeldAddress[] = [],
  ) {
    this.libc = runtime.libc;
    this.log = log;
    // The helper adopts these sockets, which every build can; on Deno workers cannot.
    const opener = { libc: runtime.libc, capabilities: { adoptSockets: true } };
    this.listeners = new Listeners(opener, log, inherited, PURPOSE);
    this.helper = new AdminHelper((fds) => spawnAdmin(runtime, fds, log), service, log);
  }

  /**
   * Opens the sockets of a configuration; `use` or `drop` must follow. Throws a UsageError and
   * changes nothing if an address cannot be opened.
   */
  begin(plan: AdminPlan | undefined): void {
    const { endpoints = [], dualStack = false } = plan ?? {};
    const wanted = endpoints.map((endpoint) => ({ endpoint, dualStack }));
    const claim = this.listeners.claim(wanted, 1, SETTINGS);
    for (const [fd] of claim.fds) neverBlock(this.libc, fd!);
    this.next = { plan, claim };
  }

  /** Serves the configuration that has begun. */
  use(): void {
    const { next } = this;
    this.next = undefined;
    if (!next) return;
    const { plan, claim } = next;
    claim.use();
    if (plan) {
      const { access, privileges, endpoints } = plan;
      const sockets = endpoints.map(({ family }, i) => ({
        fd: claim.fds[i]![0]!,
        isUnix: family === "unix",
      }));
      this.helper.use({ sockets, access, ...(privileges ? { privileges } : {}) });
      this.checks ??= setInterval(() => this.helper.check(), CHECK_INTERVAL_MS);
      this.announce(plan);
    } else {
      void this.helper.finish();
      this.announced = "";
    }
    claim.keep();
  }

  /** Closes what was opened. */
  drop(): void {
    this.next?.claim.drop();
    this.next = undefined;
  }

  /** The sockets, for a successor. */
  get held(): readonly HeldAddress[] {
    return this.listeners.held;
  }

  /** A predecessor no longer serves the sockets. */
  takeOver(): void {
    this.listeners.takeOver();
  }

  /** A successor serves the sockets. Fulfilled when the helper has sent its last answers. */
  async handOver(): Promise<void> {
    this.listeners.handOver();
    await this.end();
  }

  /** Fulfilled when the helper has exited, after some two seconds at most. */
  async stop(): Promise<void> {
    this.listeners.close();
    await this.end();
  }

  private async end(): Promise<void> {
    clearInterval(this.checks);
    await this.helper.finish();
  }

  private announce({ endpoints }: AdminPlan): void {
    const addresses = endpoints.map(formatEndpoint).join(" ");
    if (addresses === this.announced) return;
    this.announced = addresses;
    const message = `the admin endpoint listens on ${addresses}`;
    this.log({ level: "info", event: "admin-ready", message, facts: { addresses } });
  }
}

/**
 * Bounds an accept by a millisecond. Deno makes a socket that it passes to a new process a blocking one, in
 * all processes that share it: at an upgrade the helper would then wait for the next client.
 */
function neverBlock(libc: Libc, fd: number): void {
  const limit = seconds(0, 1000);
  libc.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, limit, limit.length);
}
