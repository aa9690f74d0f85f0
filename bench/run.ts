/** Runs the programs through the workloads, round by round. */
import { setTimeout as pause } from "node:timers/promises";
import type { Certificates } from "../tests/support/certificates.ts";
import type { Backend } from "./backend.ts";
import type { Cores } from "./machine.ts";
import { BASE, type Program } from "./programs.ts";
import { freshEndpoint, Proxy } from "./proxy.ts";
import { Results } from "./rows.ts";
import { type Context, type Workload, workloads } from "./workloads.ts";

/** The share of hitch's capacity at which latency is measured. */
export const LATENCY_LOAD = 0.7;

export interface Run {
  readonly programs: readonly Program[];
  readonly workloads: readonly Workload[];
  readonly rounds: number;
  readonly scale: number;
  readonly prefix: boolean;
  readonly cores: Cores;
  readonly certificates: Certificates;
  readonly backends: { readonly nginx: Backend; readonly sink: Backend };
  /** Receives a text about the current step. */
  readonly progress: (text: string) => void;
}

/** The results, and the requests per second at which latency was measured (0: it was not). */
export interface Outcome {
  readonly results: Results;
  readonly latencyRate: number;
}

/** Measures all workloads. The results record why a program failed; the others continue. */
export async function measureAll(run: Run): Promise<Outcome> {
  const results = new Results();
  const latencyRate = { value: 0 };
  for (const group of groups(run.workloads)) {
    const proxies = await startAll(run, group, results);
    try {
      for (const workload of group) {
        const warmUps = workload === group[0] ? 3 : 1;
        await measure(run, workload, proxies, results, { warmUps, latencyRate });
      }
    } finally {
      await Promise.all(proxies.map((proxy) => proxy.stop()));
    }
  }
  for (const workload of run.workloads) {
    if (workload.fresh) await measureFresh(run, workload, results);
  }
  return { results, latencyRate: latencyRate.value };
}

/** Groups workloads that the same running proxies can serve, in order. */
function groups(all: readonly Workload[]): Workload[][] {
  const groups = new Map<string, Workload[]>();
  for (const workload of all) {
    if (workload.fresh) continue;
    const key = `${workload.certificate} ${workload.backend}`;
    groups.set(key, [...groups.get(key) ?? [], workload]);
  }
  return [...groups.values()];
}

async function startAll(run: Run, group: readonly Workload[], results: Results): Promise<Proxy[]> {
  const proxies: Proxy[] = [];
  for (const program of run.programs) {
    try {
      proxies.push(await Proxy.start(program, taskFor(run, group[0]!), run.cores.proxy));
    } catch (error) {
      for (const workload of group) fail(results, workload, program, error);
    }
  }
  return proxies;
}

function taskFor({ certificates, backends, prefix }: Run, workload: Workload) {
  const backend = backends[workload.backend];
  return {
    directory: certificates.directory,
    backend: prefix ? backend.prefixed : backend.plain,
    certificate: workload.certificate === "rsa" ? certificates.rsa : certificates.localhost,
    prefix,
  };
}

async function measure(
  run: Run,
  workload: Workload,
  running: readonly Proxy[],
  results: Results,
  { warmUps, latencyRate }: { warmUps: number; latencyRate: { value: number } },
): Promise<void> {
  const proxies = running.filter(({ program }) => workload.fits?.(program) ?? true);
  if (proxies.length === 0) return;
  if (workload.name === "latency") latencyRate.value = await rateFor(run, proxies, results);
  const context = (proxy: Proxy) => contextFor(run, proxy, latencyRate.value);
  for (const proxy of proxies) {
    await attempt(results, workload, proxy.program, async () => {
      const obstacle = await workload.obstacle?.(context(proxy));
      if (obstacle) results.at(workload.rows[0]!.name, proxy.program.name).problem = obstacle;
    });
  }
  // Warm-up first: the runtimes compile hot code, and caches fill.
  for (let round = 1 - warmUps; round <= run.rounds; round++) {
    for (const proxy of rotated(proxies, round + warmUps)) {
      if (hasProblem(results, workload, proxy.program)) continue;
      const which = round < 1 ? "warm-up" : `round ${round} of ${run.rounds}`;
      run.progress(`${workload.name}, ${which}, ${proxy.program.title}`);
      await attempt(results, workload, proxy.program, async () => {
        const figures = await workload.measure(context(proxy));
        proxy.checkScrapes();
        if (round < 1) return;
        workload.rows.forEach((row, i) => {
          results.at(row.name, proxy.program.name).add(round, figures[i]!);
        });
      });
    }
  }
}

/** Measures each time with a newly started proxy, alone on its core. */
async function measureFresh(run: Run, workload: Workload, results: Results): Promise<void> {
  const rounds = Math.min(run.rounds, workload.fresh!.rounds);
  for (let round = 1; round <= rounds; round++) {
    const programs = run.programs.filter((program) => workload.fits?.(program) ?? true);
    for (const program of rotated(programs, round)) {
      if (hasProblem(results, workload, program)) continue;
      run.progress(`${workload.name}, round ${round} of ${rounds}, ${program.title}`);
      await attempt(results, workload, program, async () => {
        const task = taskFor(run, workload);
        const proxy = await Proxy.launch(program, task, run.cores.proxy);
        try {
          const figures = await workload.measure(contextFor(run, proxy, 0));
          workload.rows.forEach((row, i) => {
            results.at(row.name, program.name).add(round, figures[i]!);
          });
        } finally {
          await proxy.stop();
        }
      });
      await pause(100);
    }
  }
}

/** Requests per second that hitch, or else the first program, can certainly serve. */
async function rateFor(run: Run, proxies: readonly Proxy[], results: Results): Promise<number> {
  const proxy = proxies.find(({ program }) => program.name === BASE) ?? proxies[0]!;
  let capacity = results.find("requests", proxy.program.name)?.rate;
  if (capacity === undefined) {
    const requests = workloads.find(({ name }) => name === "requests")!;
    const [figure] = await requests.measure(contextFor(run, proxy, 0));
    capacity = figure!.rate!;
  }
  return Math.round(capacity * LATENCY_LOAD);
}

function contextFor(run: Run, proxy: Proxy, rate: number): Context {
  return {
    proxy,
    at: freshEndpoint(proxy.task.port),
    directory: run.certificates.directory,
    rate,
    scale: run.scale,
  };
}

/** Rotates the order, so that no program always has the same place and neighbor. */
function rotated<T>(items: readonly T[], by: number): T[] {
  const start = by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}

async function attempt(
  results: Results,
  workload: Workload,
  program: Program,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    fail(results, workload, program, error);
  }
}

function fail(results: Results, workload: Workload, program: Program, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  for (const row of workload.rows) {
    results.at(row.name, program.name).problem = `failed: ${message}`;
  }
}

function hasProblem(results: Results, workload: Workload, program: Program): boolean {
  return workload.rows.some((row) => results.at(row.name, program.name).problem !== undefined);
}
