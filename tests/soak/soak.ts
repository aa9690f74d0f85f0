/** One build under mixed load and reloads, for some minutes. */
import { copyFileSync, mkdtempSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Context } from "../support/context.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import { anonymousMemory, descriptorCount } from "../support/processes.ts";
import type { Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";
import { type Counts, Load } from "./load.ts";
import type { Sample } from "./samples.ts";

export interface Soaked {
  readonly samples: readonly Sample[];
  readonly counts: Counts;
  readonly reloads: number;
  /** Those of the master and its workers at rest: after the first reloads, and at the end. */
  readonly descriptors: readonly [before: number, after: number];
}

/** The interval between two reloads, in milliseconds. */
const RELOAD_EVERY = 5_000;
const WORKERS = 2;

/**
 * Every reload replaces certificates. In the first third every other one also changes the
 * configuration and so starts new workers; those of the second half shall grow old.
 */
export async function soak(context: Context, minutes: number): Promise<Soaked> {
  const directory = mkdtempSync(join(context.certificates.directory, "soak-"));
  const [file, pem] = [join(directory, "stud.conf"), join(directory, "site.pem")];
  const { localhost, chained } = context.certificates;
  const frontend = await freeEndpoint();
  const backend = (await context.echo()).port;
  const configure = (generation: number) =>
    writeFileSync(
      file,
      [
        `frontend = "[${frontend.host}]:${frontend.port}"`,
        `backend = "[127.0.0.1]:${backend}"`,
        `pem-file = "${pem}"`,
        `workers = ${WORKERS}`,
        // The load comes from one address, and must reach all of them.
        "affinity = off",
        "log-format = json",
        `ssl-handshake-timeout = ${20 + generation % 2}`,
        "",
      ].join("\n"),
    );
  const present = (certificate: string) => {
    copyFileSync(certificate, `${pem}.new`);
    renameSync(`${pem}.new`, pem);
  };
  present(localhost);
  configure(0);
  const stud = await context.stud([`--config=${file}`], { exact: true, backend, frontend });
  let reloads = 0;
  const reload = async (isNewGeneration: boolean) => {
    reloads++;
    present(reloads % 2 === 1 ? chained : localhost);
    if (isNewGeneration) configure(reloads);
    stud.signal("SIGHUP");
    await until(() => stud.logs.filter(isReload).length === reloads, "a reload", 60_000);
  };
  await reload(true);
  await reload(false);
  await until(() => living(stud).length === WORKERS, "the old workers exit");
  const before = descriptors(stud);

  const load = new Load(frontend);
  const samples: Sample[] = [];
  const start = performance.now();
  const passed = () => performance.now() - start;
  const end = minutes * 60_000;
  let nextReload = RELOAD_EVERY;
  while (passed() < end) {
    await pause(1000 - passed() % 1000);
    samples.push(sample(stud, passed() / 1000));
    if (passed() < nextReload) continue;
    await reload(reloads % 2 === 0 && passed() < end / 3);
    nextReload = passed() + RELOAD_EVERY;
  }
  await load.stop();
  await until(() => living(stud).length === WORKERS, "the old workers exit");
  const isAtRest = () => descriptors(stud) <= before;
  // The caller compares; this only waits for what is still being closed.
  await until(isAtRest, "descriptors at rest").catch(() => {});
  return { samples, counts: load.counts, reloads, descriptors: [before, descriptors(stud)] };
}

function isReload({ event }: { event: string }): boolean {
  return event === "reloaded" || event === "reload-failed";
}

function sample(stud: Stud, time: number): Sample {
  const workers = living(stud).map(anonymousMemory).filter((bytes) => bytes > 0);
  return {
    time,
    master: anonymousMemory(stud.pid),
    workers: workers.reduce((all, bytes) => all + bytes, 0),
    descriptors: descriptors(stud),
  };
}

function descriptors(stud: Stud): number {
  return [stud.pid, ...living(stud)].reduce((all, pid) => all + countOf(pid), 0);
}

/** Workers of all generations. */
function living(stud: Stud): number[] {
  stud.workers();
  return stud.survivors();
}

/** 0 for a process that has just exited. */
function countOf(pid: number): number {
  try {
    return descriptorCount(pid);
  } catch {
    return 0;
  }
}
