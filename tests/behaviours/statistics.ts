/** The statistics that each worker logs at intervals. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Behaviour, Context } from "../support/context.ts";
import type { LogLine, Stud } from "../support/stud.ts";
import { until, within } from "../support/until.ts";
import { reloaded } from "./reload.ts";

/** The logged facts of each worker. */
const COUNTS = ["open", "accepted", "full", "resumed"] as const;

export const statistics: readonly Behaviour[] = [
  {
    name: "full and resumed handshakes of each worker are logged, if the build knows them",
    waits: true,
    async run(context) {
      const stud = await telling(context, ["-n", "2", "--stats-interval=1"]);
      let session: Buffer | undefined;
      for (let visit = 0; visit < 3; visit++) session = await comeBack(context, stud, session);
      const seen = (counts: Record<string, number>) =>
        context.target.tlsFacts ? counts.full === 1 && counts.resumed === 2 : counts.accepted === 3;
      await until(() => seen(sum(lastOfEach(stud))), "the counts of all workers");
      const all = sum(lastOfEach(stud));
      const known = context.target.tlsFacts ? [3, 3, 1, 2] : [3, 3, NaN, NaN];
      assert.deepEqual(COUNTS.map((count) => all[count]), known);
      const { pid, message } = lastOfEach(stud)[0]!;
      assert.ok(stud.workers().includes(Number(pid)));
      assert.match(
        message,
        context.target.tlsFacts
          ? /^\d+ full and \d+ resumed handshakes, \d+ connections? open$/
          : /^\d+ connections? accepted, \d+ connections? open$/,
      );
    },
  },
  {
    name: "statistics are logged once more at the stop, and never without --stats-interval",
    waits: true,
    async run(context) {
      const stud = await telling(context, ["-n", "2", "--stats-interval=3600"]);
      await comeBack(context, stud, undefined);
      await stud.stop();
      const last = lastOfEach(stud);
      assert.deepEqual(last.map(({ worker }) => worker).toSorted(), [1, 2]);
      assert.equal(sum(last).accepted, 1);
      const silent = await telling(context, []);
      await silent.stop();
      assert.deepEqual(lastOfEach(silent), []);
    },
  },
  {
    name: "--stats-interval can be set and removed by a reload",
    waits: true,
    async run(context) {
      const file = join(mkdtempSync(join(context.certificates.directory, "statistics-")), "conf");
      writeFileSync(file, "stats-interval = 0\n");
      const stud = await telling(context, [`--config=${file}`]);
      writeFileSync(file, "stats-interval = 1\n");
      await reloaded(stud);
      await until(() => lastOfEach(stud).length === 1, "the counts");
      writeFileSync(file, "stats-interval = 0\n");
      await reloaded(stud);
      const lineCount = stud.logs.length;
      await stud.stop();
      assert.ok(!stud.logs.slice(lineCount).some(({ event }) => event === "statistics"));
    },
  },
];

async function telling(context: Context, args: readonly string[]): Promise<Stud> {
  return await context.stud(["--drain-timeout=1", ...args], {
    backend: (await context.echo()).port,
  });
}

/** Leaves its connection open; returns its session. */
async function comeBack(
  context: Context,
  stud: Stud,
  session: Buffer | undefined,
): Promise<Buffer | undefined> {
  const client = await context.tls(stud.frontend, { ...(session && { session }) });
  client.write("hello");
  // Tickets arrive with the first answer at the latest.
  await within(once(client, "data"), "an answer");
  return client.getSession();
}

/** The last line of each worker. */
function lastOfEach(stud: Stud): LogLine[] {
  const lines = stud.logs.filter(({ event }) => event === "statistics");
  return [...new Map(lines.map((line) => [line.worker, line])).values()];
}

/** The sum over all workers; NaN if one does not log it. */
function sum(lines: readonly LogLine[]): Record<string, number> {
  return Object.fromEntries(
    COUNTS.map((count) => [count, lines.reduce((all, line) => all + Number(line[count]), 0)]),
  );
}
