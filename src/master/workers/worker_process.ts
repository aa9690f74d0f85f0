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

/** A worker in the master: its process and control channel. */
export class WorkerProcess extends ControlledProcess<WorkerCommand, WorkerEvent> {
  /**
   * Starts the process. Slot and generation are shown in process listings. `inherited` are the
   * descriptors that it gets from 4 on; they stay open in the master. Throws an Error if no process
   * can be created.
   */
  constructor(
    runtime: Pick<Runtime, "libc" | "self" | "workerEnvironment">,
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
