/** What the master's process does from its configuration to its end. */
import process from "node:process";
import { Passphrases } from "./certificates/passphrases.ts";
import { controllingTerminal } from "./certificates/terminal.ts";
import { Certificates } from "./certificates/tls_order.ts";
import { CertificateWatch } from "./certificates/watch.ts";
import { UsageError } from "./errors.ts";
import { type LogEntry, type OpenLog, openLog } from "./log.ts";
import { Master } from "./master/master.ts";
import { type Means, prepare, type Prepared } from "./master/prepare.ts";
import type { Command } from "./options/command_line.ts";
import { Repeats } from "./repeats.ts";
import type { Runtime } from "./runtime/types.ts";
import { activatedSockets } from "./system/activation.ts";
import { reportReady } from "./system/daemon.ts";
import { writeListenReport } from "./system/listen_report.ts";
import { Notifier, notifySettings } from "./system/notify.ts";
import { createPidFile, type PidFile } from "./system/pid_file.ts";

/** The exit code when connections were cut to end in time. */
const EXIT_CUT = 3;
/** Milliseconds from one reload to the next at the least: many signals make few of them. */
const RELOAD_INTERVAL_MS = 1000;
/** Seconds that a stop may take beyond the time that connections have to end. */
const STOP_MARGIN = 10;
/** How often the service manager's status line is made anew, in milliseconds. */
const STATUS_INTERVAL_MS = 1000;

/** A command line that names a configuration to serve or to check. */
export type Serving = Extract<Command, { readonly config: unknown }>;

export interface ServeOptions {
  /** Reads the command line and all files again, for a reload. */
  read(): Command;
  /** This is the process that `--daemon` left behind. */
  readonly isDaemon: boolean;
}

/** `--test`: tells what would be wrong. Throws a UsageError with all of it. */
export async function check(runtime: Runtime, { config, warnings }: Serving): Promise<void> {
  const { dialect } = config;
  if (dialect === "hitch") {
    console.error("Trying to initialize SSL contexts with your certificates");
  }
  const prepared = await prepare(meansOf(runtime), config);
  for (const warning of [...warnings, ...prepared.warnings]) {
    console.error(`${dialect}: ${warning}`);
  }
  if (dialect === "hitch") console.error("hitch configuration looks ok.");
  else console.log("stud configuration looks ok.");
}

/** Serves until a signal ends it. Throws a UsageError when it cannot begin. */
export async function serve(
  runtime: Runtime,
  command: Serving,
  { read, isDaemon }: ServeOptions,
): Promise<void> {
  const service = new Service(runtime, command, read);
  await service.start(isDaemon);
}

function meansOf(runtime: Runtime): Means {
  return {
    runtime,
    certificates: new Certificates(runtime.libc, new Passphrases(controllingTerminal)),
    activated: activatedSockets(runtime.libc),
  };
}

class Service {
  private readonly runtime: Runtime;
  private readonly read: () => Command;
  private readonly means: Means;
  private command: Serving;
  private readonly log: OpenLog;
  private readonly notifier: Notifier;
  private master: Master | undefined;
  private pidFile: PidFile | undefined;
  private isStopping = false;
  /** Also while it starts, and in the pause after a reload. */
  private isReloading = true;
  /** A signal came during a reload: what it loads may be out of date already. */
  private isReloadDue = false;
  /** Why the next reload begins, as the beginning of a line. */
  private reloadCause = "";
  private readonly watch = new CertificateWatch(() =>
    this.reload("certificate files have changed")
  );

  constructor(runtime: Runtime, command: Serving, read: () => Command) {
    this.runtime = runtime;
    this.command = command;
    this.read = read;
    this.means = meansOf(runtime);
    this.log = openLog(command.config.log, { libc: runtime.libc, dialect: command.config.dialect });
    this.notifier = new Notifier(notifySettings(), { libc: runtime.libc, log: this.log });
  }

  async start(isDaemon: boolean): Promise<void> {
    const { config } = this.command;
    if (isDaemon && config.frontends.some(({ listen }) => "activated" in listen)) {
      throw new UsageError(
        "--daemon: the service manager's sockets are meant for the process it started; " +
          "leave out --daemon",
      );
    }
    await this.watch.begin(config);
    const prepared = await prepare(this.means, config);
    if (config.pidFile !== "") {
      this.pidFile = createPidFile(this.runtime.libc, config.pidFile, config.dialect);
    }
    this.master = new Master(this.runtime, prepared, this.log);
    this.handleSignals();
    try {
      await this.master.start();
      this.started(this.command, prepared);
    } catch (error) {
      this.pidFile?.remove();
      throw error;
    }
    if (isDaemon && !reportReady(this.runtime.libc, config.dialect)) {
      await this.stop("the end of its parent");
    }
    this.tellManager(isDaemon);
    this.isReloading = false;
    if (this.isReloadDue) await this.reload(this.reloadCause);
  }

  /** It serves: from now on the service manager hears of it. */
  private tellManager(isDaemon: boolean): void {
    const { notifier } = this;
    const master = this.master!;
    if (!notifier.isWanted) return;
    if (isDaemon) {
      const message = "--daemon: the service manager waits for word from the process that it " +
        "started, which has ended; leave out --daemon under Type=notify";
      this.log({ level: "warn", event: "warning", message, facts: {} });
      return notifier.silence();
    }
    notifier.ready(master.summary);
    // The time of a stop is limited otherwise.
    notifier.watchdog(() => this.isStopping || master.isServing);
    setInterval(() => this.isStopping || notifier.status(master.summary), STATUS_INTERVAL_MS);
  }

  private handleSignals(): void {
    for (const signal of ["SIGTERM", "SIGQUIT", "SIGINT"] as const) {
      process.on(signal, () => this.stop(signal));
    }
    process.on("SIGHUP", () => this.reload("received SIGHUP"));
    process.on("SIGUSR1", () => this.log.reopen());
    // No fault of ours may end the parent of all connections.
    const repeats = new Repeats(this.log, () => this.command.config.log.level);
    process.on("uncaughtException", (error) => {
      const message = `internal error: ${error.message}; please report it`;
      repeats.tell({
        level: "error",
        event: "internal-error",
        message,
        facts: { cause: `${error.stack}` },
      });
    });
  }

  /** Ends when the connections have ended or their time is up; a second signal does not wait. */
  private async stop(signal: string): Promise<void> {
    if (this.isStopping) return this.master!.cut();
    this.isStopping = true;
    const { drainTimeout } = this.command.config;
    this.notifier.stopping("stopping");
    this.notifier.extend(drainTimeout + STOP_MARGIN);
    const patience = drainTimeout === 0
      ? "cutting open connections"
      : `open connections have ${drainTimeout} s to end, or until a second signal`;
    this.note("stopping", `received ${signal}, stopping: ${patience}`, { signal });
    const cut = await this.master!.stop(drainTimeout * 1000);
    const how = cut === 0 ? "no connection was cut" : `${cut} connections were cut`;
    this.note("stopped", `all workers have ended; ${how}`, { cut });
    this.pidFile?.remove();
    await this.log.flush();
    process.exit(cut === 0 ? 0 : EXIT_CUT);
  }

  /** Signals that come meanwhile make one more reload, and that not before a second has passed. */
  private async reload(cause: string): Promise<void> {
    this.isReloadDue = true;
    this.reloadCause = cause;
    if (this.isReloading) return;
    this.isReloading = true;
    while (this.isReloadDue && !this.isStopping) {
      this.isReloadDue = false;
      const pause = new Promise((resolve) => setTimeout(resolve, RELOAD_INTERVAL_MS));
      this.notifier.reloading();
      try {
        await this.reloadOnce();
      } catch (error) {
        const problems = error instanceof UsageError ? error.problems : [`${error}`];
        for (const problem of problems) {
          const message = `the configuration was not loaded anew, nothing has changed: ${problem}`;
          this.log({ level: "error", event: "reload-failed", message, facts: {} });
        }
      }
      if (!this.isStopping) this.notifier.ready(this.master!.summary);
      await pause;
    }
    this.isReloading = false;
  }

  private async reloadOnce(): Promise<void> {
    const cause = this.reloadCause;
    this.note("reloading", `${cause}, loading the configuration anew`, { cause });
    const command = this.read();
    if (command.kind !== "run") throw new UsageError("there is no configuration to load anew");
    await this.watch.begin(command.config);
    const prepared = await prepare(this.means, command.config);
    this.log.configure(command.config.log);
    try {
      if (!await this.master!.reload(prepared)) {
        this.log.configure(this.command.config.log);
        return this.waitForRoom(command.config.maxGenerations);
      }
    } catch (error) {
      this.log.configure(this.command.config.log);
      throw error;
    }
    this.command = command;
    this.started(command, prepared);
  }

  /** So many generations have connections that one more must wait until one has ended. */
  private waitForRoom(limit: number): void {
    const { connections } = this.master!.census();
    const message = `the configuration waits until an older generation has ended, since ${limit} ` +
      `live (--max-generations); those before the current one have ${connections} connections, ` +
      "which --reload-drain-timeout would end";
    this.log({ level: "warn", event: "reload-waits", message, facts: { limit, connections } });
    this.master!.onRoom = () => {
      this.master!.onRoom = () => {};
      void this.reload("an older generation has ended");
    };
  }

  /** A configuration is in use: tells what is noteworthy about it, and where it listens. */
  private started({ config, warnings }: Serving, prepared: Prepared): void {
    for (const message of [...warnings, ...prepared.warnings]) {
      this.log({ level: "warn", event: "warning", message, facts: {} });
    }
    if (config.listenReport === "") return;
    // The dual-stack wildcard is IPv4's too.
    const endpoints = prepared.listeners.map(({ endpoint, dualStack }) =>
      dualStack && endpoint.family === 6
        ? { ...endpoint, family: 4, address: "0.0.0.0" } as const
        : endpoint
    );
    writeListenReport(config.listenReport, endpoints);
  }

  private note(event: string, message: string, facts: LogEntry["facts"]): void {
    this.log({ level: "info", event, message, facts });
  }
}
