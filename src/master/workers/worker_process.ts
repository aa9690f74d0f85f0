import {
  parseWorkerEvent,
  type WorkerCommand,
  type WorkerEvent,
} from "../../worker_protocol/messages.ts";
import type { Log } from "../../base/log_entry.ts";
import { logChannelFaults } from "../../log/channel_faults.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { freeTasks, ownTasks } from "../../os/task_limit.ts";
import { WORKER_ARGUMENT } from "../../worker_protocol/command_line.ts";
import {
  type ChildRuntime,
  ControlledProcess,
  type ProcessExit,
} from "../../control/child_process.ts";

export type WorkerExit = ProcessExit;

/** A worker in the master: its process and control channel. */
export class WorkerProcess extends ControlledProcess<WorkerCommand, WorkerEvent> {
  /**
   * Starts the process. Slot and generation are shown in process listings. `inherited` are the
   * descriptors that it gets from 4 on; they stay open in the master. Throws an Error if no process
   * can be created.
   */
  constructor(
    runtime: ChildRuntime & Pick<Runtime, "capabilities">,
    slot: number,
    generation: number,
    inherited: readonly number[],
    log: Log,
  ) {
    requireTasks();
    super(runtime, {
      words: [WORKER_ARGUMENT, String(slot), String(generation)],
      inherited,
      bindsSockets: !runtime.capabilities.adoptSockets,
      parse: parseWorkerEvent,
      faults: logChannelFaults(log, { subject: "", facts: { worker: slot } }),
    });
  }
}

/**
 * Throws an Error if the limit of tasks has no room for a worker: one that cannot start its threads
 * would abort, and take the room that this process needs for its own. A worker has about as many
 * tasks as the master.
 */
function requireTasks(): void {
  const [free, needed] = [freeTasks(), ownTasks()];
  if (free >= needed) return;
  throw new Error(
    `the limit of tasks has room for ${free} more, and a worker takes ${needed}; raise TasksMax, ` +
      "pids.max or ulimit -u",
  );
}
