import process from "node:process";
import { OCSP_WORD } from "./ocsp/command_line.ts";
import type { Runtime } from "./runtime/runtime.ts";
import { PEERS_WORD } from "./sessions/command_line.ts";
import { STORE_WORD } from "./tickets/command_line.ts";
import { WORKER_WORD } from "./worker/command_line.ts";

/**
 * The program: becomes what its first word asks for, which is the master, or, where the master
 * started it, a worker or one of its helpers: for OCSP, the ticket store, and the sessions of other
 * machines. Each loads only what it needs: a worker holds less memory, and is there sooner.
 */
export async function main(runtime: Runtime): Promise<void> {
  const argv = process.argv.slice(2);
  switch (argv[0]) {
    case WORKER_WORD:
      return (await import("./worker/worker.ts")).runWorker(runtime);
    case PEERS_WORD:
      return (await import("./sessions/peers_process.ts")).runPeers(runtime);
    case OCSP_WORD:
      return (await import("#ocsp")).runOcsp(runtime);
    case STORE_WORD:
      return (await import("#ticket_store")).runStore(runtime);
    default:
      return (await import("./command.ts")).runCommand(runtime, argv);
  }
}
