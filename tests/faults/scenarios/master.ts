/** The end of the master: wanted, unwanted, and for another binary. */
import { isAlive } from "../../support/processes.ts";
import { until, within } from "../../support/until.ts";
import type { Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";
import { lostQueues } from "./limits_of_deno.ts";

/** How long the addresses may stay taken after the master was killed, in milliseconds. */
const OUTAGE_LIMIT = 30_000;
/** Beyond `--drain-timeout`, whose end the exit code tells. */
const DRAIN_LIMIT = 60_000;

export const master: readonly Scenario[] = [
  {
    name: "master-killed",
    title: "the master killed (-9) and started again at the same addresses",
    short: true,
    async run(stage) {
      const orphans = stage.workers();
      const from = Date.now();
      stage.signal("SIGKILL");
      await until(() => !isAlive(stage.master), "the master's end");
      await startAgain(stage);
      allowOutage(stage, from);
      stage.notes.push(`${Date.now() - from} ms without a master`);
      const haveEnded = () => orphans.every((pid) => !isAlive(pid));
      await stage.renewing(until(haveEnded, "the orphans end", DRAIN_LIMIT));
    },
  },
  {
    name: "drain",
    title: "SIGTERM under load, then started again",
    short: true,
    allows: lostQueues,
    async run(stage) {
      const { stud } = stage;
      const workers = stage.workers();
      const from = Date.now();
      stage.signal("SIGTERM");
      // Whoever is connected goes on for a while, and then ends by itself.
      await stage.goOn(stage.form.span / 10);
      const { code } = await stage.renewing(within(stud.exited, "stud's end", DRAIN_LIMIT));
      if (code !== 0) throw new Error(`stud ended with ${code}: not drained`);
      if (workers.some(isAlive)) throw new Error("workers are left");
      await startAgain(stage);
      allowOutage(stage, from);
      stage.notes.push(`${Date.now() - from} ms without a service`);
    },
  },
  {
    name: "binary-replaced",
    title: "SIGUSR2: another master takes over the sockets",
    short: true,
    allows: lostQueues,
    async run(stage) {
      const old = stage.master;
      stage.signal("SIGUSR2");
      const line = await stage.stud.waitForLog(
        ({ event }) => event === "upgraded",
        "another master serves",
        DRAIN_LIMIT,
      );
      stage.master = Number(line.pid);
      const end = until(() => !isAlive(old), "the end of the old master", DRAIN_LIMIT);
      await stage.renewing(end);
    },
  },
];

/** Until the addresses are free: orphans give them up when they notice. */
async function startAgain(stage: Stage): Promise<void> {
  const begin = () => stage.start().then(() => true, () => false);
  await until(begin, "stud can be started again", OUTAGE_LIMIT);
}

/** Whoever came while nobody served may have been refused; whoever was served goes on. */
function allowOutage(stage: Stage, from: number): void {
  const until = Date.now();
  stage.allow({
    reason: "it came while no stud ran",
    covers: (failure) =>
      failure.phase !== "exchange" && failure.until >= from && failure.from <= until,
  });
}
