/** What the master's process does from its configuration to its end. */
import process from "node:process";
import { Passphrases } from "./certificates/passphrases.ts";
import { controllingTerminal } from "./certificates/terminal.ts";
import { Certificates } from "./certificates/tls_order.ts";
import { UsageError } from "./errors.ts";
import { type OpenLog, openLog } from "./log.ts";
import { Master } from "./master/master.ts";
import { type Means, prepare, type Prepared } from "./master/prepare.ts";
import type { Command } from "./options/command_line.ts";
import type { Runtime } from "./runtime/types.ts";
import { activatedSockets } from "./system/activation.ts";
import { reportReady } from "./system/daemon.ts";
import { closeInherited } from "./system/descriptors.ts";
import type { Estate } from "./system/estate.ts";
import { writeListenReport } from "./system/listen_report.ts";
import { createPidFile, inheritPidFile, type PidFile } from "./system/pid_file.ts";
import type { Program } from "./system/program.ts";
import type { Predecessor } from "./system/upgrade.ts";
import { Upgrade } from "./upgrade.ts";

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
  options: ServeOptions,
): Promise<void> {
  const service = new Service(runtime, command, options);
  await service.start();
}

function meansOf(runtime: Runtime, predecessor?: Predecessor): Means {
  return {
    runtime,
    certificates: new Certificates(runtime.libc, new Passphrases(controllingTerminal)),
    activated: predecessor?.estate.activated ?? activatedSockets(runtime.libc),
  };
}

class Service {
  private readonly runtime: Runtime;
  private readonly options: ServeOptions;
  private readonly means: Means;
  private command: Serving;
  private readonly log: OpenLog;
  private master: Master | undefined;
  private pidFile: PidFile | undefined;
  private isStopping = false;
  /** Also while it starts. */
  private isReloading = true;
  /** A signal came during a reload: what it loads may be out of date already. */
  private isReloadDue = false;
  private readonly upgrade: Upgrade;

  constructor(runtime: Runtime, command: Serving, options: ServeOptions) {
    this.runtime = runtime;
    this.command = command;
    this.options = options;
    this.means = meansOf(runtime, options.predecessor);
    this.log = openLog(command.config.log, { libc: runtime.libc, dialect: command.config.dialect });
    this.upgrade = new Upgrade({
      libc: runtime.libc,
      log: this.log,
      program: options.program,
      input: () => options.input(),
      onStop: () => this.stop("a stop from its successor"),
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
    const prepared = await prepare(this.means, config);
    this.pidFile = this.openPidFile();
    const inherited = predecessor?.estate.addresses ?? [];
    this.master = new Master(this.runtime, prepared, this.log, inherited);
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
    await this.reloadingIsOver();
  }

  private openPidFile(): PidFile | undefined {
    const { pidFile: path, dialect } = this.command.config;
    const inherited = this.options.predecessor?.estate.pidFile;
    const kept = inherited?.path === path ? inheritPidFile(inherited) : undefined;
    if (kept) return kept;
    // The lock lasts until the predecessor ends too.
    if (inherited) closeInherited(this.runtime.libc, inherited.fd);
    return path === "" ? undefined : createPidFile(this.runtime.libc, path, dialect);
  }

  /** Everything is ready to take over. */
  private async replace(predecessor: Predecessor): Promise<void> {
    this.pidFile?.write();
    if (!predecessor.handOver()) return await this.stop("the end of its predecessor");
    this.master!.takeOver();
    // No file system is held busy by a daemon.
    if (this.options.isDaemon) process.chdir("/");
  }

  private handleSignals(): void {
    process.on("SIGTERM", () => this.stop("SIGTERM"));
    process.on("SIGINT", () => this.stop("SIGINT"));
    process.on("SIGHUP", () => this.reload());
    process.on("SIGUSR1", () => this.log.reopen());
    process.on("SIGUSR2", () => this.upgrade.want() && this.beginUpgrade());
    // No fault of ours may end the parent of all connections.
    process.on("uncaughtException", (error) => {
      const message = `internal error: ${error.message}; please report it`;
      this.log({
        level: "error",
        event: "internal-error",
        message,
        facts: { cause: `${error.stack}` },
      });
    });
  }

  private async stop(signal: string): Promise<void> {
    if (this.isStopping) return;
    this.isStopping = true;
    this.note("stopping", `received ${signal}, stopping`, { signal });
    this.upgrade.abandon();
    const limit = this.command.config.drainTimeout * 1000 + PREDECESSOR_GRACE_MS;
    await Promise.all([this.master!.stop(), this.options.predecessor?.stop(limit)]);
    await this.end();
  }

  private async end(): Promise<void> {
    this.note("stopped", "all workers have ended", {});
    this.pidFile?.remove();
    await this.log.flush();
    process.exit(0);
  }

  /** Reloads wait meanwhile; this waits for one that is under way. */
  private async beginUpgrade(): Promise<void> {
    if (this.isReloading || this.isStopping) return;
    this.isReloading = true;
    const pid = await this.upgrade.begin(this.estate());
    if (this.isStopping) return;
    if (pid !== undefined) return await this.retire();
    // The new one may have written its pid there before it failed.
    this.pidFile?.write();
    await this.reloadingIsOver();
  }

  /** What a successor takes over. */
  private estate(): Estate {
    const { pidFile } = this;
    return {
      isDaemon: this.options.isDaemon,
      addresses: this.master!.addresses,
      activated: this.means.activated,
      ...(pidFile ? { pidFile: { path: pidFile.path, fd: pidFile.fd } } : {}),
    };
  }

  /** A successor serves: this process ends with its last connection. Reloads have no use any more. */
  private async retire(): Promise<void> {
    await this.master!.retire();
    if (this.isStopping) return;
    this.isStopping = true;
    await this.end();
  }

  private async reloadingIsOver(): Promise<void> {
    this.isReloading = false;
    if (this.upgrade.isDue) await this.beginUpgrade();
    else if (this.isReloadDue) await this.reload();
  }

  /** Signals that come meanwhile make one more reload. */
  private async reload(): Promise<void> {
    this.isReloadDue = true;
    if (this.isReloading) return;
    this.isReloading = true;
    while (this.isReloadDue && !this.isStopping) {
      this.isReloadDue = false;
      try {
        await this.reloadOnce();
      } catch (error) {
        const problems = error instanceof UsageError ? error.problems : [`${error}`];
        for (const problem of problems) {
          const message = `the configuration was not loaded anew, nothing has changed: ${problem}`;
          this.log({ level: "error", event: "reload-failed", message, facts: {} });
        }
      }
    }
    await this.reloadingIsOver();
  }

  private async reloadOnce(): Promise<void> {
    this.note("reloading", "loading the configuration anew", {});
    const command = this.options.read();
    if (command.kind !== "run") throw new UsageError("there is no configuration to load anew");
    const prepared = await prepare(this.means, command.config);
    this.log.configure(command.config.log);
    try {
      await this.master!.reload(prepared);
    } catch (error) {
      this.log.configure(this.command.config.log);
      throw error;
    }
    this.command = command;
    this.started(command, prepared);
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

  private note(event: string, message: string, facts: Record<string, string>): void {
    this.log({ level: "info", event, message, facts });
  }
}
