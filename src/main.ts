import process from "node:process";
import { ADMIN_ARGUMENT } from "./admin/command_line.ts";
import { ACCESS_LOG_ARGUMENT } from "./access_log/command_line.ts";
import { OCSP_ARGUMENT } from "./ocsp/command_line.ts";
import { nameProcess } from "./os/process_name.ts";
import type { Runtime } from "./runtime/runtime.ts";
import { PEERS_ARGUMENT } from "./sessions/command_line.ts";
import { STORE_ARGUMENT } from "./tickets/command_line.ts";
import { LAUNCH_ARGUMENT } from "./upgrade/command_line.ts";
import { WORKER_ARGUMENT } from "./worker_protocol/command_line.ts";

/** The names of processes in listings, by the first argument; 15 bytes at most. */
const NAMES: Readonly<Record<string, (argv: readonly string[]) => string>> = {
  [WORKER_ARGUMENT]: ([, slot]) => `stud: worker ${slot}`,
  [ADMIN_ARGUMENT]: () => "stud: admin",
  [PEERS_ARGUMENT]: () => "stud: peers",
  [ACCESS_LOG_ARGUMENT]: () => "stud: access",
  [OCSP_ARGUMENT]: () => "stud: ocsp",
  [STORE_ARGUMENT]: () => "stud: tickets",
  [LAUNCH_ARGUMENT]: () => "stud: launcher",
};

/**
 * Runs the process that the first argument names: a worker, one of the helpers for OCSP, the ticket
 * store, the sessions of other machines and the admin endpoint, or the launcher of a successor, all of which the master
 * starts; else the user's command. Each loads only the code it needs, so that a worker takes less
 * memory and starts faster.
 */
export async function main(runtime: Runtime): Promise<void> {
  const argv = process.argv.slice(2);
  nameProcess(runtime.libc, NAMES[argv[0] ?? ""]?.(argv) ?? "stud");
  switch (argv[0]) {
    case WORKER_ARGUMENT:
      return (await import("./worker/worker.ts")).runWorker(runtime);
    case ADMIN_ARGUMENT:
      return (await import("./admin/helper/admin_process.ts")).runAdmin(runtime);
    case PEERS_ARGUMENT:
      return (await import("./sessions/peers_process.ts")).runPeers(runtime);
    case ACCESS_LOG_ARGUMENT:
      return (await import("./access_log/helper_process.ts")).runAccessLog(runtime);
    case OCSP_ARGUMENT:
      return (await import("#ocsp")).runOcsp(runtime);
    case STORE_ARGUMENT:
      return (await import("#ticket_store")).runStore(runtime);
    case LAUNCH_ARGUMENT:
      return (await import("./upgrade/launcher.ts")).runLauncher(runtime, argv.slice(1));
    default:
      return (await import("./command.ts")).runCommand(runtime, argv);
  }
}
