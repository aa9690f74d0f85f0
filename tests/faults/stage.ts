/** What a scenario is given: a stud that serves a load, and the means to do something to it. */
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import type { Certificates } from "../support/certificates.ts";
import { exchange } from "../support/client.ts";
import { type Endpoint, endpointText, freeEndpoint } from "../support/endpoints.ts";
import { isAlive, workersOf } from "../support/processes.ts";
import { launchStud, type LogLine, type Stud } from "../support/stud.ts";
import type { Target } from "../support/target.ts";
import { until } from "../support/until.ts";
import { FaultBackend } from "./backend.ts";
import type { Load } from "./load.ts";
import type { Allowance, Form, Scenario } from "./scenario.ts";

/** What a start may take on a machine that is busy with the load, in milliseconds. */
const START_LIMIT = 30_000;
/** Bytes of the connection that must work after everything. */
const ORDINARY_BYTES = 1024 * 1024;

/** Milliseconds that connections live while old workers are waited for. */
const RENEW_INTERVAL = 2000;

/** What a configuration differs in. */
export interface Variables {
  /** Beside the one that has the load. */
  readonly frontends?: readonly Endpoint[];
  readonly workers?: number;
  readonly lines?: readonly string[];
}

export class Stage {
  readonly target: Target;
  readonly form: Form;
  readonly certificates: Certificates;
  /** Of this scenario alone; everybody may read it. */
  readonly directory: string;
  readonly frontend: Endpoint;
  readonly backend: FaultBackend;
  /** The certificate that is served; its name is `localhost`. */
  readonly pem: string;
  /** The configuration file. */
  readonly file: string;
  /** All that were started, the one that serves now last. */
  readonly studs: Stud[] = [];
  readonly allowances: Allowance[] = [];
  /** Facts for the report. */
  readonly notes: string[] = [];
  /** Workers that are expected to have ended otherwise than by their master's order. */
  expectedExits = 0;
  readonly #scenario: Scenario;
  readonly #cleanups: (() => unknown)[] = [];
  #variables: Variables = {};
  #master = 0;
  #load: Load | undefined;

  private constructor(
    scenario: Scenario,
    target: Target,
    form: Form,
    certificates: Certificates,
    { frontend, backend }: { readonly frontend: Endpoint; readonly backend: FaultBackend },
  ) {
    this.#scenario = scenario;
    this.target = target;
    this.form = form;
    this.certificates = certificates;
    this.frontend = frontend;
    this.backend = backend;
    this.directory = mkdtempSync(join(certificates.directory, "fault-"));
    this.pem = join(this.directory, "site.pem");
    this.file = join(this.directory, "stud.conf");
    this.after(() => backend.destroy());
  }

  /** Backend and stud are ready. */
  static async open(
    scenario: Scenario,
    target: Target,
    form: Form,
    certificates: Certificates,
  ): Promise<Stage> {
    // One that is killed and comes back needs a port that nobody else takes.
    const { host } = await freeEndpoint(scenario.setup?.backendHost ? "127.0.0.1" : undefined);
    const backend = await FaultBackend.start(host);
    const ends = { frontend: await freeEndpoint(), backend };
    const stage = new Stage(scenario, target, form, certificates, ends);
    try {
      copyFileSync(certificates.localhost, stage.pem);
      stage.configure({});
      await stage.start();
    } catch (error) {
      await stage.close();
      throw error;
    }
    return stage;
  }

  /** The stud that was started last. */
  get stud(): Stud {
    return this.studs.at(-1)!;
  }

  /** The process id of the master that serves now. */
  get master(): number {
    return this.#master;
  }

  /** Another process has taken over from the master, as after SIGUSR2. */
  set master(pid: number) {
    this.#master = pid;
    this.after(() => kill(pid, "SIGKILL"));
  }

  get load(): Load {
    return this.#load!;
  }

  set load(load: Load) {
    this.#load = load;
    this.after(() => load.destroy());
  }

  /** How many workers the configuration asks for. */
  get workerCount(): number {
    return this.#variables.workers ?? this.#scenario.setup?.workers ?? 2;
  }

  /** The current workers, of old generations too, in the order of their slots. */
  workers(): number[] {
    this.stud.workers();
    return workersOf(this.#master);
  }

  /** Writes the configuration file anew; `reload` makes it count. */
  configure(variables: Variables): void {
    this.#variables = variables;
    const { setup = {} } = this.#scenario;
    const { port, host } = this.backend.endpoint;
    const lines = [
      ...[this.frontend, ...variables.frontends ?? []].map((endpoint) =>
        `frontend = "[${endpoint.host}]:${endpoint.port}"`
      ),
      `backend = "[${setup.backendHost ?? host}]:${port}"`,
      `pem-file = "${this.pem}"`,
      `workers = ${this.workerCount}`,
      // The load comes from one address, and is to reach all of them.
      "affinity = off",
      // Whoever comes while a worker is away waits in its queue.
      `backlog = 1024`,
      `log-format = "json"`,
      ...setup.lines ?? [],
      ...variables.lines ?? [],
    ];
    // In one step: a reload may read it at any moment.
    writeFileSync(`${this.file}.new`, lines.join("\n") + "\n");
    renameSync(`${this.file}.new`, this.file);
  }

  /** Starts a stud at the same addresses; fulfilled when it is ready. */
  async start(): Promise<void> {
    const { target, frontend } = this;
    const { wrapper } = this.#scenario.setup ?? {};
    const command = [...wrapper?.(this.directory, this.form) ?? [], ...target.command];
    const options = { backend: 0, frontend, exact: true };
    const stud = await launchStud({ ...target, command }, [`--config=${this.file}`], options);
    this.studs.push(stud);
    this.#master = stud.pid;
    this.after(() => stud.destroy());
    await this.isReady();
    this.workers();
  }

  /** Sends SIGHUP and waits until the file is in use. Rejects when it was refused. */
  async reload(): Promise<void> {
    const lines = (event: string) => this.logged((line) => line.event === event);
    const [done, refused] = [lines("reloaded").length, lines("reload-failed").length];
    this.signal("SIGHUP");
    const isDone = () => {
      const refusal = lines("reload-failed")[refused];
      if (refusal) throw new Error(refusal.message);
      return lines("reloaded").length > done;
    };
    await until(isDone, "the reload", START_LIMIT);
  }

  signal(name: NodeJS.Signals): void {
    process.kill(this.#master, name);
  }

  /** The lines of the stud that was started last. */
  logged(wanted: (line: LogLine) => boolean): LogLine[] {
    return this.stud.logs.filter(wanted);
  }

  allow(allowance: Allowance): void {
    this.allowances.push(allowance);
  }

  /** The load goes on for so long: the time is what is tested. */
  async goOn(ms: number): Promise<void> {
    await pause(ms);
  }

  /** Does something again and again while the load goes on, for the form's span. */
  async repeat(intervalMs: number, action: () => unknown): Promise<void> {
    const end = performance.now() + this.form.span;
    while (performance.now() < end) {
      await action();
      await this.goOn(intervalMs);
    }
  }

  /**
   * While something is waited for, connections that live as long as the load end, those too which
   * came to an old worker that had not yet heard that it is to accept no more.
   */
  async renewing<T>(waiting: Promise<T>): Promise<T> {
    this.load.renew();
    const timer = setInterval(() => this.load.renew(), RENEW_INTERVAL);
    try {
      return await waiting;
    } finally {
      clearInterval(timer);
    }
  }

  /** An ordinary connection works: a mebibyte goes through stud and comes back. */
  async ordinary(endpoint = this.frontend): Promise<void> {
    const sent = Buffer.alloc(ORDINARY_BYTES, "ordinary");
    // The first byte tells the backend to send the rest back.
    const answer = await exchange(endpoint, Buffer.concat([Buffer.from("E"), sent]));
    if (!answer.equals(sent)) {
      throw new Error(
        `${answer.length} of ${sent.length} bytes came from ${endpointText(endpoint)}`,
      );
    }
  }

  /** Until all slots have their workers, and no others are left. */
  async isComplete(ms = START_LIMIT): Promise<void> {
    const count = this.workerCount;
    await until(
      () => {
        const workers = this.workers().filter(isAlive);
        return workers.length === count;
      },
      `stud has ${count} workers`,
      ms,
    );
  }

  after(cleanup: () => unknown): void {
    this.#cleanups.push(cleanup);
  }

  async close(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup();
  }

  /** The file as the process sees it, which may have mounts of its own. */
  path(file: string): string {
    return `/proc/${this.#master}/root${this.directory}/${file}`;
  }

  private async isReady(): Promise<void> {
    const { logFile } = this.#scenario.setup ?? {};
    if (logFile === undefined) {
      await this.stud.waitForLog(({ event }) => event === "ready", "stud is ready", START_LIMIT);
      return;
    }
    const isTold = () => {
      const path = this.path(logFile);
      return existsSync(path) && readFileSync(path, "utf8").includes('"event":"ready"');
    };
    await until(isTold, "stud is ready", START_LIMIT);
  }
}

/** Whether there was such a process. */
export function kill(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
