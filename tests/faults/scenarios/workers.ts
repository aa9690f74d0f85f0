/** Workers that die, and workers that hang. */
import { hold, isAlive } from "../../support/processes.ts";
import { until } from "../../support/until.ts";
import { clientsOf } from "../held.ts";
import type { Scenario } from "../scenario.ts";
import { kill, type Stage } from "../stage.ts";
import { lostQueues } from "./limits_of_deno.ts";

/** Milliseconds between two kills. */
const KILL_INTERVAL = 300;
/** Repeated crashes delay the replacement up to 10 s; longer allows for a busy machine. */
const RETURN_LIMIT = 30_000;
/** Seconds that a worker may hang. */
const WATCHDOG = 2;

export const workers: readonly Scenario[] = [
  {
    name: "worker-killed",
    title: "a worker killed (-9) every 300 ms if another one is running",
    short: true,
    setup: { workers: 4 },
    allows: lostQueues,
    async run(stage) {
      await stage.repeat(KILL_INTERVAL, async () => {
        const serving = servingWorkers(stage);
        if (serving.length > 1) await killWorker(stage, serving[0]!);
      });
      stage.notes.push(`${stage.expectedExits} workers killed`);
      await stage.isComplete(RETURN_LIMIT);
    },
  },
  {
    name: "worker-stopped",
    title: "a worker stopped (SIGSTOP), until the watchdog replaces it",
    setup: { lines: [`watchdog = ${WATCHDOG}`] },
    allows: lostQueues,
    async run(stage) {
      const [worker] = stage.workers();
      stage.after(() => kill(worker!, "SIGKILL"));
      await hold(worker!);
      allowHeld(stage, worker!);
      stage.expectedExits++;
      await until(() => !isAlive(worker!), "the watchdog kills it", (WATCHDOG + 8) * 1000);
      await stage.isComplete();
    },
  },
];

/** The pids of the workers that have logged their start, in this order. */
function servingWorkers(stage: Stage): number[] {
  const alive = new Set(stage.workers().filter(isAlive));
  return stage.logged(({ event }) => event === "worker-started")
    .map(({ pid }) => Number(pid))
    .filter((pid) => alive.has(pid));
}

async function killWorker(stage: Stage, pid: number): Promise<void> {
  // Its connections must not change between the check and the kill.
  await hold(pid);
  allowHeld(stage, pid);
  stage.expectedExits++;
  kill(pid, "SIGKILL");
}

/** Only connections that a worker held when it was stopped may break. */
function allowHeld(stage: Stage, pid: number): void {
  const held = clientsOf(pid, stage.frontend);
  stage.allow({
    reason: "it was held by a worker that was killed or hung",
    covers: ({ client }) => held.has(client),
    asCut: true,
  });
}
