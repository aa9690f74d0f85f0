import { type Order, parseReport, type Report } from "../control/messages.ts";
import type { Runtime } from "../runtime/types.ts";
import { WORKER_WORD } from "../worker/command_line.ts";
import { ControlledProcess, type ProcessExit } from "./controlled_process.ts";

export type WorkerExit = ProcessExit;

/** One worker as the master sees it: a process and its control channel. */
export class WorkerProcess extends ControlledProcess<Order, Report> {
  isAwaitingPong = false;

  /**
   * `inherited` are descriptors that it finds from 4 on; they stay open in the master. Throws an
   * Error when no process can be had.
   */
  constructor(
    runtime: Pick<Runtime, "self" | "workerEnvironment">,
    slot: number,
    inherited: readonly number[],
  ) {
    super(runtime, [WORKER_WORD, String(slot)], inherited, parseReport);
  }
}
