/** The context of a scenario: a stud that serves a load, and methods to act on it. */
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

/** Time limit of a start while the machine is busy with the load, in milliseconds. */
const START_LIMIT = 30_000;
/** Bytes of the connection that must work afterwards. */
const ORDINARY_BYTES = 1024 * 1024;

/** Milliseconds between two renewals while old workers are awaited. */
const RENEW_INTERVAL = 2000;

/** How a configuration differs from the default one. */
export interface Variables {
  /** In addition to the one that has the load. */
  readonly frontends?: readonly Endpoint[];
  readonly workers?: number;
  readonly lines?: readonly string[];
}

export class Stage {
  readonly target: Target;
  readonly form: Form;
  readonly certificates: Certificates;
  /** The scenario's own directory, readable for all users. */
  readonly directory: string;
  readonly frontend: Endpoint;
  readonly backend: FaultBackend;
  /** The served certificate; its name is `localhost`. */
  readonly pem: string;
  /** The configuration file. */
  readonly file: string;
  /** All studs that were started; the last one is serving. */
  readonly studs: Stud[] = [];
  readonly allowances: Allowance[] = [];
  /** Facts for the report. */
  readonly notes: string[] = [];
  /** The number of workers expected to exit without a command of their master. */
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

  /** Fulfilled when backend and stud are ready. */
  static async open(
    scenario: Scenario,
    target: Target,
    form: Form,
    certificates: Certificates,
  ): Promise<Stage> {
    // A restarted backend needs its port again, which no other program must take.
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

  /** The process id of the current master. */
  get master(): number {
    return this.#master;
  }

  /** Records that another process has taken over from the master, as after SIGUSR2. */
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

  /** The configured number of workers. */
  get workerCount(): number {
    return this.#variables.workers ?? this.#scenario.setup?.workers ?? 2;
  }

  /** The current workers, including those of old generations, in the order of their slots. */
  workers(): number[] {
    this.stud.workers();
    return workersOf(this.#master);
  }

  /** Rewrites the configuration file; `reload` applies it. */
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
      // The load comes from one address, and must reach all of them.
      "affinity = off",
      // New connections wait in the queue of a worker that is not running.
      `backlog = 1024`,
      `log-format = "json"`,
      ...typeof setup.lines === "function" ? setup.lines(this.form) : setup.lines ?? [],
      ...variables.lines ?? [],
    ];
    // Atomically: a reload can read it at any moment.
    writeFileSync(`${this.file}.new`, lines.join("\n") + "\n");
    renameSync(`${this.file}.new`, this.file);
  }

  /** Starts a stud with the same addresses; fulfilled when it is ready. */
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

  /** Sends SIGHUP and waits until the file is in use. Rejects if it is refused. */
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

  /** The log lines of the stud that was started last. */
  logged(wanted: (line: LogLine) => boolean): LogLine[] {
    return this.stud.logs.filter(wanted);
  }

  allow(allowance: Allowance): void {
    this.allowances.push(allowance);
  }

  /** Lets the load continue for this time, in milliseconds: the duration is part of the test. */
  async keepRunning(ms: number): Promise<void> {
    await pause(ms);
  }

  /** Repeats something under load for the form's span. */
  async repeat(intervalMs: number, action: () => unknown): Promise<void> {
    const end = performance.now() + this.form.span;
    while (performance.now() < end) {
      await action();
      await this.keepRunning(intervalMs);
    }
  }

  /**
   * Renews the connections that last as long as the load during a wait, including those that reached
   * an old worker before its command to drain.
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

  /** Checks that an ordinary connection works: a mebibyte passes through stud and back. */
  async ordinary(endpoint = this.frontend): Promise<void> {
    const sent = Buffer.alloc(ORDINARY_BYTES, "ordinary");
    // The first byte makes the backend echo the rest.
    const answer = await exchange(endpoint, Buffer.concat([Buffer.from("E"), sent]));
    if (!answer.equals(sent)) {
      throw new Error(
        `${answer.length} of ${sent.length} bytes came from ${endpointText(endpoint)}`,
      );
    }
  }

  /** Waits until all slots have their workers, and no others are left. */
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

/** Whether such a process existed. */
export function kill(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
