/** Workers that die, and workers that hang. */
import { hold, isAlive } from "../../support/processes.ts";
import { until } from "../../support/until.ts";
import { clientsOf } from "../held.ts";
import type { Scenario } from "../scenario.ts";
import { kill, type Stage } from "../stage.ts";
import { lostQueues } from "./limits_of_deno.ts";

/** Milliseconds between two kills. */
const KILL_INTERVAL = 300;
/** Crashes that follow each other slow down, up to 10 s; some more for a busy machine. */
const RETURN_LIMIT = 30_000;
/** Seconds that a worker may hang. */
const WATCHDOG = 2;

export const workers: readonly Scenario[] = [
  {
    name: "worker-killed",
    title: "a worker killed (-9) every 300 ms, as long as another lives",
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
      await until(() => !isAlive(worker!), "the watchdog ends it", (WATCHDOG + 8) * 1000);
      await stage.isComplete();
    },
  },
];

/** The pids of those workers which have said that they serve, in the order in which they did. */
function servingWorkers(stage: Stage): number[] {
  const alive = new Set(stage.workers().filter(isAlive));
  return stage.logged(({ event }) => event === "worker-started")
    .map(({ pid }) => Number(pid))
    .filter((pid) => alive.has(pid));
}

async function killWorker(stage: Stage, pid: number): Promise<void> {
  // What it holds must not change between the look and the end.
  await hold(pid);
  allowHeld(stage, pid);
  stage.expectedExits++;
  kill(pid, "SIGKILL");
}

/** Only what a worker held when it was stopped may break. */
function allowHeld(stage: Stage, pid: number): void {
  const held = clientsOf(pid, stage.frontend);
  stage.allow({
    reason: "a worker that was killed or hung held it",
    covers: ({ client }) => held.has(client),
    asCut: true,
  });
}
