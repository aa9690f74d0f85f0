/** The end of the master: by a kill, a stop, and an upgrade. */
import { isAlive } from "../../support/processes.ts";
import { until, within } from "../../support/until.ts";
import type { Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";
import { lostQueues } from "./limits_of_deno.ts";

/** How long the addresses may stay in use after the master was killed, in milliseconds. */
const OUTAGE_LIMIT = 30_000;
/** More than `--drain-timeout`, whose expiry shows in the exit code. */
const DRAIN_LIMIT = 60_000;

export const master: readonly Scenario[] = [
  {
    name: "master-killed",
    title: "the master killed (-9) and restarted with the same addresses",
    short: true,
    async run(stage) {
      const orphans = stage.workers();
      const from = Date.now();
      stage.signal("SIGKILL");
      await until(() => !isAlive(stage.master), "the master exits");
      await startAgain(stage);
      allowOutage(stage, from);
      stage.notes.push(`${Date.now() - from} ms without a master`);
      const haveEnded = () => orphans.every((pid) => !isAlive(pid));
      await stage.renewing(until(haveEnded, "the orphans exit", DRAIN_LIMIT));
    },
  },
  {
    name: "drain",
    title: "SIGTERM under load, then restarted",
    short: true,
    allows: lostQueues,
    async run(stage) {
      const { stud } = stage;
      const workers = stage.workers();
      const from = Date.now();
      stage.signal("SIGTERM");
      // Existing connections continue for a while, and then close on their own.
      await stage.keepRunning(stage.form.span / 10);
      const { code } = await stage.renewing(within(stud.exited, "stud exits", DRAIN_LIMIT));
      if (code !== 0) throw new Error(`stud exited with ${code}: not drained`);
      if (workers.some(isAlive)) throw new Error("workers are left");
      await startAgain(stage);
      allowOutage(stage, from);
      stage.notes.push(`${Date.now() - from} ms without service`);
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
      const end = until(() => !isAlive(old), "the old master exits", DRAIN_LIMIT);
      await stage.renewing(end);
    },
  },
];

/** Retries until the addresses are free: orphans release them when they notice. */
async function startAgain(stage: Stage): Promise<void> {
  const begin = () => stage.start().then(() => true, () => false);
  await until(begin, "stud can be restarted", OUTAGE_LIMIT);
}

/** Connections that arrived during the outage may be refused; the others must continue. */
function allowOutage(stage: Stage, from: number): void {
  const until = Date.now();
  stage.allow({
    reason: "it arrived while no stud was running",
    covers: (failure) =>
      failure.phase !== "exchange" && failure.until >= from && failure.from <= until,
  });
}
