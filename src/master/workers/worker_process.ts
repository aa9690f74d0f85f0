import {
  parseWorkerEvent,
  type WorkerCommand,
  type WorkerEvent,
} from "../../worker_protocol/messages.ts";
import type { Log } from "../../base/log_entry.ts";
import { logChannelFaults } from "../../log/channel_faults.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { WORKER_ARGUMENT } from "../../worker_protocol/command_line.ts";
import { ControlledProcess, type ProcessExit } from "../../control/child_process.ts";

export type WorkerExit = ProcessExit;

/** One worker as the master sees it: a process and its control channel. */
export class WorkerProcess extends ControlledProcess<WorkerCommand, WorkerEvent> {
  /**
   * Slot and generation are for those who look at the list of processes. `inherited` are descriptors
   * that it finds from 4 on; they stay open in the master. Throws an Error if no process can be
   * started.
   */
  constructor(
    runtime: Pick<Runtime, "self" | "workerEnvironment">,
    slot: number,
    generation: number,
    inherited: readonly number[],
    log: Log,
  ) {
    super(runtime, {
      words: [WORKER_ARGUMENT, String(slot), String(generation)],
      inherited,
      parse: parseWorkerEvent,
      faults: logChannelFaults(log, { subject: "", facts: { worker: slot } }),
    });
  }
}
