/** Memory after many reloads of every kind must be what it was after the first. */
import { copyFileSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Context } from "../support/context.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import { anonymousMemory } from "../support/processes.ts";
import type { Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";

export const RELOADS = 50;
/** The largest allowed ratio to the memory after the first reload. */
export const MAX_RATIO = 1.1;
const WORKERS = 2;

/** Bytes of anonymous memory of the master and all workers. */
export interface Reloaded {
  readonly first: number;
  readonly last: number;
}

/** `certificates` are replaced in place if the build can; `configuration` needs new workers. */
export async function memoryOfReloads(
  context: Context,
  kind: "certificates" | "configuration",
): Promise<Reloaded> {
  const directory = mkdtempSync(join(context.certificates.directory, "reloads-"));
  const [file, pem] = [join(directory, "stud.conf"), join(directory, "site.pem")];
  const { a, a2 } = context.certificates;
  const frontend = await freeEndpoint();
  const backend = (await context.echo()).port;
  const configure = (reload: number) => {
    copyFileSync(reload % 2 === 1 ? a2 : a, pem);
    const lines = [
      `frontend = "[${frontend.host}]:${frontend.port}"`,
      `backend = "[127.0.0.1]:${backend}"`,
      `pem-file = "${pem}"`,
      `workers = ${WORKERS}`,
      // The load comes from one address, and must reach all of them.
      "affinity = off",
      "log-format = json",
      ...kind === "configuration" ? [`half-close-timeout = ${30 + reload}`] : [],
    ];
    writeFileSync(file, lines.join("\n"));
  };
  configure(0);
  const stud = await context.stud([`--config=${file}`], { exact: true, backend, frontend });
  let first = 0;
  for (let reload = 1; reload <= RELOADS; reload++) {
    configure(reload);
    stud.signal("SIGHUP");
    await until(() => reloadsOf(stud) === reload, `reload ${reload}`);
    await until(() => stud.workers().length === WORKERS, "the old workers exit");
    if (reload === 1) first = await atRest(stud);
  }
  return { first, last: await atRest(stud) };
}

function reloadsOf({ logs }: Stud): number {
  return logs.filter(({ event }) => event === "reloaded").length;
}

/** The minimum of several samples, since what a reload needed is freed in the second after it. */
async function atRest(stud: Stud): Promise<number> {
  const looks: number[] = [];
  await until(() => {
    const processes = [stud.pid, ...stud.workers()];
    looks.push(processes.reduce((sum, pid) => sum + anonymousMemory(pid), 0));
    return looks.length >= 150;
  }, "memory at rest");
  return Math.min(...looks);
}
