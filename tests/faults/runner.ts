/** Runs one scenario against one build and judges the result. */
import type { Certificates } from "../support/certificates.ts";
import { isAlive } from "../support/processes.ts";
import type { Target } from "../support/target.ts";
import { until, within } from "../support/until.ts";
import {
  excess,
  type Footprint,
  footprintOf,
  SETTLE_LIMIT,
  totalDescriptors,
  totalMemory,
} from "./footprint.ts";
import { type Failure, type LoadResults, startLoad } from "./load.ts";
import type { Allowance, Form, Scenario } from "./scenario.ts";
import { Stage } from "./stage.ts";

/** Milliseconds of load before anything is measured: heaps and caches reach their size. */
const WARM_UP = { full: 3000, short: 500 } as const;
/** Milliseconds between two memory measurements during the fault. */
const SAMPLE_INTERVAL = 500;
/** Characters of stderr that are shown when something went wrong. */
const STDERR_SHOWN = 1000;
/** Maximum number of wrong failures that are described. */
const EXAMPLES = 5;

/** The result of a scenario. Memory is in bytes, of all processes together. */
export interface Outcome {
  readonly scenario: Scenario;
  readonly target: Target;
  readonly seconds: number;
  readonly connections: number;
  readonly bytes: number;
  readonly refused: number;
  readonly cut: number;
  readonly late: number;
  readonly corrupted: number;
  /** Failures that were right, by reason. */
  readonly allowed: ReadonlyMap<string, number>;
  readonly memory: { readonly before: number; readonly peak: number; readonly after: number };
  readonly descriptors: { readonly before: number; readonly after: number };
  readonly notes: readonly string[];
  /** Empty if every promise was kept. */
  readonly problems: readonly string[];
}

/** Never rejects: errors are among the problems. */
export async function perform(
  scenario: Scenario,
  target: Target,
  form: Form,
  certificates: Certificates,
): Promise<Outcome> {
  const run = new Run(scenario, target, form);
  let stage: Stage | undefined;
  try {
    stage = await Stage.open(scenario, target, form, certificates);
    await run.perform(stage);
  } catch (error) {
    run.problem(error);
  }
  const logs = stage?.studs.map(({ stderr }) => stderr.slice(-STDERR_SHOWN)) ?? [];
  await stage?.close();
  return run.outcome(stage?.notes ?? [], logs);
}

class Run {
  private readonly scenario: Scenario;
  private readonly target: Target;
  private readonly form: Form;
  private readonly began = performance.now();
  private readonly problems: string[] = [];
  private readonly allowed = new Map<string, number>();
  private readonly count = { refused: 0, cut: 0, late: 0, corrupted: 0 };
  private results: LoadResults | undefined;
  private before: Footprint | undefined;
  private after: Footprint | undefined;
  private peak = 0;

  constructor(scenario: Scenario, target: Target, form: Form) {
    this.scenario = scenario;
    this.target = target;
    this.form = form;
  }

  problem(error: unknown): void {
    this.problems.push(error instanceof Error ? error.message : `${error}`);
  }

  async perform(stage: Stage): Promise<void> {
    this.before = await this.warmUp(stage);
    const stopSampling = this.sample(stage);
    const { frontend, form } = stage;
    stage.load = await startLoad({ frontend, clients: form.clients, seed: 2 });
    try {
      await this.scenario.run(stage);
    } catch (error) {
      this.problem(error);
    }
    this.results = await stage.load.stop();
    stopSampling();
    this.judgeLoad(stage);
    if (!isAlive(stage.master)) throw new Error("no master is left");
    await this.settle(stage);
    await stage.ordinary();
    this.judgeLogs(stage);
    await this.stop(stage);
  }

  outcome(notes: readonly string[], logs: readonly string[]): Outcome {
    const { scenario, target, count, allowed, before, after, problems } = this;
    if (problems.length > 0) problems.push(...logs.map((text) => `stderr ends with:\n${text}`));
    return {
      ...{ scenario, target, ...count, allowed, notes, problems },
      seconds: (performance.now() - this.began) / 1000,
      connections: this.results?.connections ?? 0,
      bytes: this.results?.bytes ?? 0,
      memory: {
        before: before ? totalMemory(before) : 0,
        peak: this.peak,
        after: after ? totalMemory(after) : 0,
      },
      descriptors: {
        before: before ? totalDescriptors(before) : 0,
        after: after ? totalDescriptors(after) : 0,
      },
    };
  }

  /** The same load as later without a fault, so that the heaps reach that size once. */
  private async warmUp(stage: Stage): Promise<Footprint> {
    const { frontend, form } = stage;
    const footprint = () => footprintOf(stage.master, stage.workers());
    const idle = footprint();
    stage.load = await startLoad({ frontend, clients: form.clients, seed: 1 });
    await stage.keepRunning(WARM_UP[form.name]);
    await this.scenario.warmUp?.(stage);
    const { failures } = await stage.load.stop();
    if (failures.length > 0) throw new Error(`without a fault: ${describe(failures)}`);
    const isIdle = () =>
      footprint().workers.every(({ sockets }, index) => sockets <= idle.workers[index]!.sockets);
    await until(isIdle, "the workers have closed all connections");
    return footprint();
  }

  private sample(stage: Stage): () => void {
    const look = () => {
      try {
        const footprint = footprintOf(stage.master, stage.workers());
        this.peak = Math.max(this.peak, totalMemory(footprint));
      } catch {
        // A process exited while it was being inspected.
      }
    };
    const timer = setInterval(look, SAMPLE_INTERVAL);
    const stop = () => clearInterval(timer);
    stage.after(stop);
    return stop;
  }

  private judgeLoad(stage: Stage): void {
    const allowances = [
      ...stage.allowances,
      ...this.scenario.allows?.(this.target, this.form) ?? [],
    ];
    const used = new Map<Allowance, number>();
    const wrong: Failure[] = [];
    for (const failure of this.results!.failures) {
      const found = allowances.find((allowance) =>
        failure.kind !== "corrupted" && allowance.covers(failure)
      );
      this.count[found?.asCut ? "cut" : failure.kind]++;
      if (found) used.set(found, (used.get(found) ?? 0) + 1);
      else wrong.push(failure);
    }
    for (const [{ reason, atMost = Infinity }, count] of used) {
      this.allowed.set(reason, (this.allowed.get(reason) ?? 0) + count);
      if (count > atMost) this.problem(`${count} failures, where at most ${atMost}: ${reason}`);
    }
    if (wrong.length > 0) this.problem(describe(wrong));
    if (this.results!.unlisted > 0) this.problem(`${this.results!.unlisted} more failures`);
  }

  /** Waits until everything is as before; remaining differences are problems. */
  private async settle(stage: Stage): Promise<void> {
    let left = ["it was not checked"];
    const isBack = () => {
      try {
        this.after = footprintOf(stage.master, stage.workers());
      } catch {
        // A worker of an old generation exited while it was being inspected.
        return false;
      }
      left = excess(this.before!, this.after);
      const [has, due] = [this.after.workers.length, stage.workerCount];
      if (has !== due) left.push(`there are ${has} workers, not ${due}`);
      return left.length === 0;
    };
    try {
      await until(isBack, "stud is as before", SETTLE_LIMIT);
    } catch {
      left.forEach((each) => this.problem(each));
    }
  }

  private judgeLogs(stage: Stage): void {
    const lines = stage.studs.flatMap((stud) => stud.logs);
    for (const line of lines) if (line.event === "internal-error") this.problem(line.message);
    const exits = lines.filter(({ event }) => event === "worker-exited").length;
    if (exits !== stage.expectedExits) {
      this.problem(`${exits} workers exited unexpectedly, not ${stage.expectedExits}`);
    }
  }

  /** Checks that nothing hangs: stud stops cleanly, with all its processes. */
  private async stop(stage: Stage): Promise<void> {
    const { stud, master } = stage;
    const workers = stage.workers();
    stage.signal("SIGTERM");
    await until(() => !isAlive(master), "stud exits after SIGTERM");
    const isOver = () => [...workers, ...stud.survivors()].every((pid) => !isAlive(pid));
    await until(isOver, "all workers exit");
    if (master !== stud.pid) return;
    const { code, signal } = await within(stud.exited, "the exit status of stud");
    if (code !== 0) this.problem(`stud exited with ${signal ?? code}`);
  }
}

function describe(failures: readonly Failure[]): string {
  const kinds = new Map<string, number>();
  for (const { kind, phase, code } of failures) {
    const text = `${kind} (${phase}, ${code})`;
    kinds.set(text, (kinds.get(text) ?? 0) + 1);
  }
  const texts = [...kinds].slice(0, EXAMPLES).map(([text, count]) => `${count} × ${text}`);
  const [first] = failures;
  const when = new Date(first!.until).toISOString();
  return `${failures.length} wrong failures: ${texts.join("; ")}; the first at ${when} of ` +
    `${first!.client}`;
}
