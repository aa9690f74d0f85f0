/** Starts the program under test and reads its output. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type Endpoint, freeEndpoint } from "./endpoints.ts";
import { isWorker, killIfAlive, workersOf } from "./processes.ts";
import { root, type Target } from "./target.ts";
import { until, within } from "./until.ts";

/** One line of `--log-format=json`. */
export interface LogLine {
  readonly time: string;
  readonly level: "debug" | "info" | "warn" | "error";
  /** The pid of the master that logged it. */
  readonly master: number;
  /** That of the process that it is about. */
  readonly pid: number;
  readonly event: string;
  readonly message: string;
  readonly [fact: string]: unknown;
}

/** How a process exited. */
export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface StartOptions {
  /** Port on 127.0.0.1, or a whole endpoint. */
  readonly backend: number | Endpoint;
  /** Absent: a loopback address of its own. */
  readonly frontend?: Endpoint;
  /** The arguments are the whole command line, with addresses, workers and log format. */
  readonly exact?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** Its working directory; absent: the root of the repository. */
  readonly directory?: string;
}

/** A running stud. */
export class Stud {
  readonly frontend: Endpoint;
  readonly pid: number;
  /** The JSON lines on stderr, and all of stderr, as they arrive. */
  readonly logs: LogLine[] = [];
  stderr = "";
  stdout = "";
  readonly exited: Promise<Exit>;
  /** Every worker seen so far. */
  readonly #known = new Set<number>();
  readonly #process: ChildProcess;
  /** It has exited and its output was read; its successor may still write to the same output. */
  #isSilent = false;

  constructor(
    command: readonly string[],
    frontend: Endpoint,
    { environment = {}, stdin, directory = root }: Pick<
      StartOptions,
      "environment" | "stdin" | "directory"
    > = {},
  ) {
    const [program, ...words] = command;
    const child = spawn(program!, words, {
      cwd: directory,
      stdio: [stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      env: { ...process.env, ...environment },
    });
    child.stdin?.on("error", () => {}).end(stdin);
    this.#process = child;
    this.frontend = frontend;
    this.pid = child.pid ?? 0;
    this.exited = once(child, "close").then(([code, signal]) => {
      this.#isSilent = true;
      return { code, signal };
    });
    child.stdout!.setEncoding("utf8").on("data", (text: string) => this.stdout += text);
    let partial = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
      const lines = (partial + text).split("\n");
      partial = lines.pop() ?? "";
      for (const line of lines) if (line.startsWith('{"')) this.logs.push(JSON.parse(line));
    });
  }

  /** The current workers, in the order of their slots. */
  workers(): number[] {
    const workers = workersOf(this.pid);
    for (const pid of workers) this.#known.add(pid);
    return workers;
  }

  /** The worker of a stud that has only one. */
  worker(): number {
    const [pid, ...others] = this.workers();
    if (!pid || others.length) throw new Error(`one worker expected, not ${others.length + 1}`);
    return pid;
  }

  /** Workers seen at any time that have not exited yet. */
  survivors(): number[] {
    return [...this.#known].filter(isWorker);
  }

  waitForLog(
    wanted: (line: LogLine) => boolean,
    what: string,
    ms?: number,
  ): Promise<LogLine> {
    const find = () => {
      const line = this.logs.find(wanted);
      if (!line && this.#isSilent) throw new Error(`stud exited before ${what}`);
      return line;
    };
    return until(find, what, ms) as Promise<LogLine>;
  }

  /** The lines of one event so far. */
  logged(event: string): LogLine[] {
    return this.logs.filter((line) => line.event === event);
  }

  /** The `connection-failed` and `backend-down` lines so far, as `source code`. */
  failures(): string[] {
    return this.logs
      .filter(({ event }) => event === "connection-failed" || event === "backend-down")
      .map((line) => `${line.source} ${line.code}`);
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  /** Reads its standard error slowly from now on; returns a function that ends this. */
  readSlowly(bytesPerSecond: number): () => void {
    const stderr = this.#process.stderr!;
    stderr.pause();
    const timer = setInterval(() => stderr.read(bytesPerSecond / 20), 50);
    return () => {
      clearInterval(timer);
      stderr.resume();
    };
  }

  /** Stops reading its standard error. */
  closeStderr(): void {
    this.#process.stderr!.destroy();
  }

  /** Asks it to stop and waits for its exit. */
  stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Exit> {
    this.workers();
    if (!this.#ended()) this.signal(signal);
    return within(this.exited, `the exit of stud after ${signal}`);
  }

  /** Leaves nothing behind, whatever the test's result. */
  async destroy(): Promise<void> {
    this.workers();
    if (!this.#ended()) this.signal("SIGKILL");
    for (const pid of this.survivors()) killIfAlive(pid);
    await within(this.exited, "the exit of stud after SIGKILL");
    await until(() => this.survivors().length === 0, "the exit of its workers");
  }

  #ended(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }
}

/**
 * The command line for a stud with one worker, JSON logs and a free frontend unless `args` differ;
 * the process is started at once and `ready` is not awaited.
 */
export async function launchStud(
  target: Target,
  args: readonly string[],
  options: StartOptions,
): Promise<Stud> {
  const frontend = options.frontend ?? await freeEndpoint();
  if (options.exact) return new Stud([...target.command, ...args], frontend, options);
  const backend = typeof options.backend === "number"
    ? { host: "127.0.0.1", port: options.backend }
    : options.backend;
  // An option that is given twice is a warning.
  const defaults = [
    { pattern: /^(-b|--backend(=|$))/, option: `--backend=${backend.host},${backend.port}` },
    { pattern: /^(-n|--workers(=|$))/, option: "--workers=1" },
    { pattern: /^--log-format(=|$)/, option: "--log-format=json" },
  ].filter(({ pattern }) => !args.some((word) => pattern.test(word)));
  return new Stud(
    [
      ...target.command,
      `--frontend=${frontend.host},${frontend.port}`,
      ...defaults.map(({ option }) => option),
      ...args,
    ],
    frontend,
    options,
  );
}

/** Runs the program until it exits, with exactly these arguments. */
export async function runStud(
  target: Target,
  args: readonly string[],
  options: Pick<StartOptions, "environment" | "stdin"> = {},
): Promise<Exit & { stdout: string; stderr: string }> {
  const stud = new Stud([...target.command, ...args], { host: "", port: 0 }, options);
  try {
    const exit = await within(stud.exited, `the exit of stud ${args.join(" ")}`);
    return { ...exit, stdout: stud.stdout, stderr: stud.stderr };
  } finally {
    await stud.destroy();
  }
}
