import type { CertificateWatch } from "../certificates/watch.ts";
import { controllingTerminal } from "../certificates/terminal.ts";
import { Certificates } from "../certificates/certificates.ts";
import { Passphrases } from "../certificates/passphrases.ts";
import type { EventName } from "../base/events.ts";
import type { LogEntry } from "../base/log_entry.ts";
import type { OpenLog } from "../log/log.ts";
import type { Master } from "../master/master.ts";
import type { PrepareContext } from "../master/prepare.ts";
import type { Command } from "../options/command_line.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { activatedSockets } from "../system/activation.ts";
import type { Notifier } from "../system/notify.ts";
import type { PidFile } from "../system/pid_file.ts";
import type { Essentials } from "../system/essentials.ts";
import type { Program } from "../upgrade/program.ts";
import type { Predecessor } from "../upgrade/successor.ts";
import type { ConfigurationStatus } from "../status/status.ts";
import type { RecentGrowth } from "./recent_growth.ts";
import type { ReloadResults } from "./reload_results.ts";
import type { AdminEndpoint } from "./admin_endpoint.ts";
import type { Undo } from "./undo.ts";

/** A command with a configuration to serve or to check. */
export type Serving = Extract<Command, { readonly config: unknown }>;

export interface ServeOptions {
  /** Reads the command line and all files again, for a reload. */
  read(): Command;
  /** Whether `--daemon` started this process in the background. */
  readonly isDaemon: boolean;
  /** The program that SIGUSR2 starts. */
  readonly program: Program;
  /** The text read from standard input; undefined if nothing was read. */
  input(): string | undefined;
  /** The process that this one replaces. */
  readonly predecessor?: Predecessor;
}

/** What the parts of the service share. */
export interface ServiceState {
  readonly runtime: Runtime;
  readonly options: ServeOptions;
  readonly prepareContext: PrepareContext;
  readonly log: OpenLog;
  readonly notifier: Notifier;
  readonly watch: CertificateWatch;
  /** Undoes the steps of the start or reload in progress. */
  readonly undo: Undo;
  /** The configuration in use, or the first one while the service starts. */
  command: Serving;
  /** Absent until the start has prepared everything. */
  master: Master | undefined;
  pidFile: PidFile | undefined;
  /** Those of the configuration in use; absent until it is. */
  essentials: Essentials | undefined;
  /** When the configuration in use was put into service, and its files. */
  configuration: Omit<ConfigurationStatus, "dialect">;
  readonly reloads: ReloadResults;
  readonly lostLines: RecentGrowth;
  /** Why the last upgrade failed, one line for each reason, until a reload succeeds. */
  upgradeFailure: readonly string[];
  readonly admin: AdminEndpoint;
  /** The descriptor of the file with counts for a successor, while there is one. */
  lateCounts: number | undefined;
  /** A successor has taken over; this process drains. */
  isReplaced: boolean;
  /** A stop has begun, or a successor has taken over and the last connection has closed. */
  isStopping: boolean;
}

/** Makes what configurations are prepared with. */
export function makePrepareContext(runtime: Runtime, predecessor?: Predecessor): PrepareContext {
  return {
    runtime,
    certificates: new Certificates(
      runtime.libc,
      new Passphrases(controllingTerminal(runtime.libc)),
    ),
    activated: predecessor?.handover.activated ?? activatedSockets(runtime.libc),
  };
}

/** Logs a stage in the life of the service. */
export function logStage(
  { log }: Pick<ServiceState, "log">,
  event: EventName,
  message: string,
  facts: LogEntry["facts"] = {},
): void {
  log({ level: "info", event, message, facts });
}
