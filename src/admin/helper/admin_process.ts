import process from "node:process";
import { systemClock } from "../../base/clock.ts";
import { reasonOf } from "../../base/errors.ts";
import type { EventName } from "../../base/events.ts";
import type { LogEntry, LogLevel } from "../../base/log_entry.ts";
import { eventWriter, type FrameWriter } from "../../control/frame_writer.ts";
import { type Helper, runHelper } from "../../control/helper.ts";
import { internalError } from "../../log/internal_error.ts";
import { LogRateLimiter } from "../../log/rate_limiter.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { dropPrivileges } from "../../system/drop_privileges.ts";
import { FIRST_ADMIN_FD } from "../command_line.ts";
import { type AdminCommand, type AdminEvent, type AdminStart, ALIVE_MS } from "../messages.ts";
import { AcceptWatch } from "./accept_watch.ts";
import { Actions } from "./actions.ts";
import { AdminServer, type Modules } from "./server.ts";
import { Snapshots } from "./snapshots.ts";
import { Streams } from "./streams.ts";

/** Interval in which repeated log entries are counted, after the first one is logged. */
const WINDOW_MS = 60_000;

/**
 * Runs this process as the helper that serves the admin endpoint, without privileges. It exits when its
 * standard input ends, which means that the master has exited.
 */
export async function runAdmin(runtime: Pick<Runtime, "libc">): Promise<void> {
  // Imported here, a bundle does not load them in other processes.
  const [http, net] = await Promise.all([import("node:http"), import("node:net")]);
  runHelper(new AdminProcess(runtime, { http, net }));
}

class AdminProcess implements Helper<AdminCommand> {
  private readonly runtime: Pick<Runtime, "libc">;
  readonly events: FrameWriter;
  private readonly rateLimiter = new LogRateLimiter(
    (entry) => this.sendLog(entry),
    () => 1,
    systemClock,
    { intervalMs: WINDOW_MS, burst: 1 },
  );
  private readonly snapshots = new Snapshots(() => this.report({ type: "status-wanted" }));
  private readonly actions = new Actions((action) => this.report(action));
  private readonly server: AdminServer;
  private isFinishing = false;

  constructor(runtime: Pick<Runtime, "libc">, modules: Modules) {
    const { snapshots, actions } = this;
    this.runtime = runtime;
    this.events = eventWriter(runtime.libc);
    const streams = new Streams(snapshots);
    this.server = new AdminServer(modules, { snapshots, streams, actions }, {
      wrongToken: (address) =>
        this.log("warn", "admin-refused", `${address} sent a wrong token`, { client: address }),
      internalError: (error) => this.internalError(error),
    });
  }

  handle(command: AdminCommand): void {
    switch (command.type) {
      case "start":
        return this.start(command);
      case "access":
        this.server.access.access = command.access;
        return;
      case "status":
        return this.snapshots.received(command.status);
      case "answer":
        this.snapshots.forget();
        return this.actions.answered(command);
      case "finish":
        this.isFinishing = true;
        return this.server.finish(() => this.events.flush(() => process.exit(0)));
    }
  }

  internalError(error: unknown): void {
    const { level, event, message, facts } = internalError(error);
    this.log(level, event, message, facts);
  }

  private start({ sockets, access, privileges }: AdminStart): void {
    this.server.access.access = access;
    try {
      dropPrivileges(this.runtime.libc, privileges);
      sockets.forEach(({ isUnix }, i) => this.server.listen(FIRST_ADMIN_FD + i, isUnix));
    } catch (error) {
      this.log("error", "admin-failed", `the helper cannot start: ${reasonOf(error)}`, {});
      return this.events.flush(() => process.exit(1));
    }
    const fds = sockets.map((_, i) => FIRST_ADMIN_FD + i);
    const watch = new AcceptWatch(this.runtime.libc, fds, () => this.server.accepted);
    setInterval(() => this.check(watch), ALIVE_MS);
  }

  /** What it does not accept another helper does, which the master starts. */
  private check(watch: AcceptWatch): void {
    this.report({ type: "alive" });
    if (this.isFinishing || !watch.isStuck()) return;
    const message = "clients wait and none is accepted, for example for lack of file descriptors";
    this.log("error", "admin-failed", message, {});
    this.events.flush(() => process.exit(1));
  }

  private report(event: AdminEvent): void {
    this.events.send(event);
  }

  private log(level: LogLevel, event: EventName, message: string, facts: LogEntry["facts"]): void {
    this.rateLimiter.log({ level, event, message: `admin endpoint: ${message}`, facts });
  }

  private sendLog(entry: LogEntry): void {
    this.events.sendLog((dropped): AdminEvent => {
      const facts = { ...entry.facts, ...(dropped ? { dropped } : {}) };
      return { type: "log", entry: { ...entry, facts } };
    });
  }
}
