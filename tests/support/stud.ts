/** Starts the program under test and reads what it says. */
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
  readonly event: string;
  readonly message: string;
  readonly [fact: string]: unknown;
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface StartOptions {
  /** Port on 127.0.0.1, or a whole endpoint. */
  readonly backend: number | Endpoint;
  /** A loopback address of its own when absent. */
  readonly frontend?: Endpoint;
  /** The words are the whole command line: addresses, workers and log format are told in them. */
  readonly exact?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
  readonly stdin?: string;
}

/** A running stud. */
export class Stud {
  readonly frontend: Endpoint;
  readonly pid: number;
  /** The lines on stderr that are JSON, and all of stderr, as they come. */
  readonly logs: LogLine[] = [];
  stderr = "";
  stdout = "";
  readonly exited: Promise<Exit>;
  /** Every worker that was ever seen. */
  readonly #known = new Set<number>();
  readonly #process: ChildProcess;
  /** It has ended and all that it said was read; who took its place may go on to speak for it. */
  #isSilent = false;

  constructor(
    command: readonly string[],
    frontend: Endpoint,
    { environment = {}, stdin }: Pick<StartOptions, "environment" | "stdin"> = {},
  ) {
    const [program, ...words] = command;
    const child = spawn(program!, words, {
      cwd: root,
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

  /** The processes that serve now, in the order of their slots. */
  workers(): number[] {
    const workers = workersOf(this.pid);
    for (const pid of workers) this.#known.add(pid);
    return workers;
  }

  /** The one worker of a stud that was started with a single one. */
  worker(): number {
    const [pid, ...others] = this.workers();
    if (!pid || others.length) throw new Error(`one worker expected, not ${others.length + 1}`);
    return pid;
  }

  /** Workers of any time that have not yet ended. */
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
      if (!line && this.#isSilent) throw new Error(`stud ended before ${what}`);
      return line;
    };
    return until(find, what, ms) as Promise<LogLine>;
  }

  /** The lines of one kind so far. */
  told(event: string): LogLine[] {
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

  /** From now on its standard error is read so slowly; returns what makes it fast again. */
  readSlowly(bytesPerSecond: number): () => void {
    const stderr = this.#process.stderr!;
    stderr.pause();
    const timer = setInterval(() => stderr.read(bytesPerSecond / 20), 50);
    return () => {
      clearInterval(timer);
      stderr.resume();
    };
  }

  /** Nobody reads its standard error any more. */
  closeStderr(): void {
    this.#process.stderr!.destroy();
  }

  /** Asks it to stop and waits for its end. */
  stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Exit> {
    this.workers();
    if (!this.#ended()) this.signal(signal);
    return within(this.exited, `stud's end after ${signal}`);
  }

  /** Leaves nothing behind, however the test went. */
  async destroy(): Promise<void> {
    this.workers();
    if (!this.#ended()) this.signal("SIGKILL");
    for (const pid of this.survivors()) killIfAlive(pid);
    await within(this.exited, "stud's end after SIGKILL");
    await until(() => this.survivors().length === 0, "the end of its workers");
  }

  #ended(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }
}

/**
 * The command line for a stud with one worker (a later `-n` wins), JSON logs and a free frontend;
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
  const addresses = [
    `--frontend=${frontend.host},${frontend.port}`,
    `--backend=${backend.host},${backend.port}`,
  ];
  return new Stud(
    [...target.command, ...addresses, "-n", "1", "--log-format=json", ...args],
    frontend,
    options,
  );
}

/** Runs the program to its end with exactly these words. */
export async function runStud(
  target: Target,
  args: readonly string[],
  options: Pick<StartOptions, "environment" | "stdin"> = {},
): Promise<Exit & { stdout: string; stderr: string }> {
  const stud = new Stud([...target.command, ...args], { host: "", port: 0 }, options);
  try {
    const exit = await within(stud.exited, `the end of stud ${args.join(" ")}`);
    return { ...exit, stdout: stud.stdout, stderr: stud.stderr };
  } finally {
    await stud.destroy();
  }
}
