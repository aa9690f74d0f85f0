/** What the master's process does from its configuration to its end. */
import process from "node:process";
import { Passphrases } from "./certificates/passphrases.ts";
import { controllingTerminal } from "./certificates/terminal.ts";
import { Certificates } from "./certificates/tls_order.ts";
import { CertificateWatch } from "./certificates/watch.ts";
import { UsageError } from "./base/errors.ts";
import { internalError } from "./log/internal_error.ts";
import type { LogEntry } from "./base/log_entry.ts";
import { type OpenLog, openLog } from "./log/log.ts";
import { Master } from "./master/master.ts";
import { prepare, type PrepareContext, type Prepared } from "./master/prepare.ts";
import type { Command } from "./options/command_line.ts";
import { LogRateLimiter } from "./log/rate_limiter.ts";
import type { Runtime } from "./runtime/runtime.ts";
import { activatedSockets } from "./system/activation.ts";
import { reportReady } from "./upgrade/daemon.ts";
import { closeInherited } from "./os/descriptors.ts";
import { repeatEarlySignals } from "./service/early_signals.ts";
import type { Handover } from "./upgrade/handover.ts";
import { writeListenReport } from "./service/listen_report.ts";
import { Notifier, notifySettings } from "./system/notify.ts";
import { createPidFile, inheritPidFile, type PidFile } from "./system/pid_file.ts";
import type { Program } from "./upgrade/program.ts";
import type { Predecessor } from "./upgrade/successor.ts";
import { Upgrade } from "./upgrade.ts";

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
  /** What SIGUSR2 starts. */
  readonly program: Program;
  /** What was read from standard input, if anything was. */
  input(): string | undefined;
  /** The program whose place this one takes. */
  readonly predecessor?: Predecessor;
}

/** A predecessor obeys its own time limit; beyond it by so many milliseconds it is left alone. */
const PREDECESSOR_GRACE_MS = 2000;

/** `--test`: tells what would be wrong. Throws a UsageError with all of it. */
export async function check(runtime: Runtime, { config, warnings }: Serving): Promise<void> {
  const { dialect } = config;
  if (dialect === "hitch") {
    console.error("Trying to initialize SSL contexts with your certificates");
  }
  const prepared = await prepare(prepareContext(runtime), config);
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
  options: ServeOptions,
): Promise<void> {
  const service = new Service(runtime, command, options);
  await service.start();
}

function prepareContext(runtime: Runtime, predecessor?: Predecessor): PrepareContext {
  return {
    runtime,
    certificates: new Certificates(
      runtime.libc,
      new Passphrases(controllingTerminal(runtime.libc)),
    ),
    activated: predecessor?.handover.activated ?? activatedSockets(runtime.libc),
  };
}

class Service {
  private readonly runtime: Runtime;
  private readonly options: ServeOptions;
  private readonly dependencies: PrepareContext;
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

  private readonly upgrade: Upgrade;

  constructor(runtime: Runtime, command: Serving, options: ServeOptions) {
    this.runtime = runtime;
    this.command = command;
    this.options = options;
    this.dependencies = prepareContext(runtime, options.predecessor);
    this.log = openLog(command.config.log, { libc: runtime.libc, dialect: command.config.dialect });
    this.notifier = new Notifier(notifySettings(), { libc: runtime.libc, log: this.log });
    this.upgrade = new Upgrade({
      libc: runtime.libc,
      log: this.log,
      program: options.program,
      input: () => options.input(),
      // A service manager may have sent us a signal as well, which would make this the second.
      onStop: () => this.isStopping || void this.stop("a stop from its successor"),
    });
  }

  async start(): Promise<void> {
    const { config } = this.command;
    const { isDaemon, predecessor } = this.options;
    if (isDaemon && config.frontends.some(({ listen }) => "activated" in listen)) {
      throw new UsageError(
        "--daemon: the service manager's sockets are meant for the process it started; " +
          "leave out --daemon",
      );
    }
    await this.watch.begin(config);
    const prepared = await prepare(this.dependencies, config);
    this.pidFile = this.openPidFile();
    this.master = new Master(this.runtime, prepared, this.log, predecessor?.handover);
    this.handleSignals();
    try {
      await this.master.start();
      this.started(this.command, prepared);
    } catch (error) {
      this.pidFile?.remove();
      throw error;
    }
    if (predecessor) await this.replace(predecessor);
    else if (isDaemon && !reportReady(this.runtime.libc, config.dialect)) {
      await this.stop("the end of its parent");
    }
    this.tellManager(isDaemon);
    await this.reloadingIsOver();
  }

  private openPidFile(): PidFile | undefined {
    const { pidFile: path, dialect } = this.command.config;
    const inherited = this.options.predecessor?.handover.pidFile;
    const { libc } = this.runtime;
    const kept = inherited?.path === path ? inheritPidFile(libc, inherited) : undefined;
    // Else the lock lasts until the predecessor ends too.
    if (inherited) closeInherited(libc, inherited.fd);
    if (kept) return kept;
    return path === "" ? undefined : createPidFile(libc, path, dialect);
  }

  /** Everything is ready to take over. */
  private async replace(predecessor: Predecessor): Promise<void> {
    this.pidFile?.write();
    if (!predecessor.handOver()) return await this.stop("the end of its predecessor");
    this.master!.takeOver();
    // No file system is held busy by a daemon.
    if (this.options.isDaemon) process.chdir("/");
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
    process.on("SIGUSR2", () => this.upgrade.want() && this.beginUpgrade());
    repeatEarlySignals();
    // No fault of ours may end the parent of all connections.
    const rateLimiter = new LogRateLimiter(this.log, () => this.command.config.log.level);
    process.on("uncaughtException", (error) => rateLimiter.log(internalError(error)));
  }

  /** Ends when the connections have ended or their time is up; a second signal does not wait. */
  private async stop(signal: string): Promise<void> {
    if (this.isStopping) {
      this.options.predecessor?.cut();
      return this.master!.cut();
    }
    this.isStopping = true;
    const { drainTimeout } = this.command.config;
    this.notifier.stopping("stopping");
    this.notifier.extend(drainTimeout + STOP_MARGIN);
    const patience = drainTimeout === 0
      ? "cutting open connections"
      : `open connections have ${drainTimeout} s to end, or until a second signal`;
    this.note("stopping", `received ${signal}, stopping: ${patience}`, { signal });
    this.upgrade.abandon();
    const limit = drainTimeout * 1000;
    const [cut] = await Promise.all([
      this.master!.stop(limit),
      this.options.predecessor?.stop(limit + PREDECESSOR_GRACE_MS),
    ]);
    await this.end(cut);
  }

  /** All workers have ended; so many connections were cut. */
  private async end(cut: number): Promise<void> {
    const how = cut === 0 ? "no connection was cut" : `${cut} connections were cut`;
    this.note("stopped", `all workers have ended; ${how}`, { cut });
    this.pidFile?.remove();
    await this.log.flush();
    process.exit(cut === 0 ? 0 : EXIT_CUT);
  }

  /** Reloads wait meanwhile; this waits for one that is under way. */
  private async beginUpgrade(): Promise<void> {
    if (this.isReloading || this.isStopping) return;
    this.isReloading = true;
    const pid = await this.upgrade.begin(this.handover());
    if (this.isStopping) return;
    if (pid !== undefined) return await this.retire(pid);
    // The new one may have written its pid there before it failed.
    this.pidFile?.write();
    await this.reloadingIsOver();
  }

  /** What a successor takes over. */
  private handover(): Handover {
    const { pidFile } = this;
    const tickets = this.master!.ticketState;
    return {
      isDaemon: this.options.isDaemon,
      addresses: this.master!.addresses,
      activated: this.dependencies.activated,
      ...(tickets ? { tickets } : {}),
      ...(pidFile ? { pidFile: { path: pidFile.path, fd: pidFile.fd } } : {}),
    };
  }

  /** A successor serves: this process ends with its last connection. Reloads have no use any more. */
  private async retire(successor: number): Promise<void> {
    this.watch.end();
    this.notifier.mainPid(successor);
    this.notifier.silence();
    await this.master!.handOver();
    if (this.isStopping) return;
    this.isStopping = true;
    await this.end(0);
  }

  private async reloadingIsOver(): Promise<void> {
    this.isReloading = false;
    if (this.upgrade.isDue) await this.beginUpgrade();
    else if (this.isReloadDue) await this.reload(this.reloadCause);
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
      this.runtime.collectGarbage(true);
      await pause;
    }
    await this.reloadingIsOver();
  }

  private async reloadOnce(): Promise<void> {
    const cause = this.reloadCause;
    this.note("reloading", `${cause}, loading the configuration anew`, { cause });
    const command = this.options.read();
    if (command.kind !== "run") throw new UsageError("there is no configuration to load anew");
    await this.watch.begin(command.config);
    const prepared = await prepare(this.dependencies, command.config);
    this.log.prepare(command.config.log).commit();
    try {
      if (!await this.master!.reload(prepared)) {
        this.log.prepare(this.command.config.log).commit();
        return this.waitForRoom(command.config.maxGenerations);
      }
    } catch (error) {
      this.log.prepare(this.command.config.log).commit();
      throw error;
    }
    this.command = command;
    this.started(command, prepared);
  }

  /** So many generations have connections that one more must wait until one has ended. */
  private waitForRoom(limit: number): void {
    const { generations } = this.master!;
    const { connections } = generations.census();
    const message = `the configuration waits until an older generation has ended, since ${limit} ` +
      `live (--max-generations); those before the current one have ${connections} connections, ` +
      "which --reload-drain-timeout would end";
    this.log({ level: "warn", event: "reload-waits", message, facts: { limit, connections } });
    generations.onRoom = () => {
      generations.onRoom = () => {};
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
