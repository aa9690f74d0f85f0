import {
  parseWorkerEvent,
  type WorkerCommand,
  type WorkerEvent,
} from "../../worker_protocol/messages.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { WORKER_ARGUMENT } from "../../worker_protocol/command_line.ts";
import { ControlledProcess, type ProcessExit } from "../../control/child_process.ts";

export type WorkerExit = ProcessExit;

/** One worker as the master sees it: a process and its control channel. */
export class WorkerProcess extends ControlledProcess<WorkerCommand, WorkerEvent> {
  /** When the ping was sent that it has not answered yet, in milliseconds that never jump. */
  askedAt: number | undefined;
  /** Connections that it had at its last answer. */
  open = 0;

  /**
   * Slot and generation are for those who look at the list of processes. `inherited` are descriptors that it finds from 4 on; they stay open in the master. Throws an
   * Error when no process can be had.
   */
  constructor(
    runtime: Pick<Runtime, "self" | "workerEnvironment">,
    slot: number,
    generation: number,
    inherited: readonly number[],
  ) {
    super(
      runtime,
      [WORKER_ARGUMENT, String(slot), String(generation)],
      inherited,
      parseWorkerEvent,
    );
  }
}
