/** A running program under test. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { type Endpoint, freeEndpoint } from "../tests/support/endpoints.ts";
import { within } from "../tests/support/until.ts";
import { Scraper } from "./scraper.ts";
import { startServer, stopServer } from "./children.ts";
import { cpuTime, processTree } from "./cpu.ts";
import type { Program, Task } from "./programs.ts";

export class Proxy {
  readonly program: Program;
  readonly task: Task;
  /** Time of its exec, as `performance.now()`. */
  readonly started: number;
  #stderr = "";
  readonly #process: ChildProcess;
  readonly #scraper: Scraper | undefined;

  private constructor(program: Program, task: Task, core: number) {
    const command = program.command(task);
    this.program = program;
    this.task = task;
    this.started = performance.now();
    this.#process = startServer(
      ["taskset", "-c", String(core), ...command],
      ["ignore", "ignore", "pipe"],
    );
    const socket = program.adminSocket?.(task);
    this.#scraper = socket === undefined ? undefined : new Scraper(socket);
    this.#process.stderr!.setEncoding("utf8").on("data", (text) => this.#stderr += text);
  }

  /** Starts it on the given core without waiting. */
  static async launch(program: Program, task: Omit<Task, "port">, core: number): Promise<Proxy> {
    const { port } = await freeEndpoint("0.0.0.0");
    return new Proxy(program, { ...task, port }, core);
  }

  /** Starts it and waits until it answers a request. */
  static async start(program: Program, task: Omit<Task, "port">, core: number): Promise<Proxy> {
    const proxy = await Proxy.launch(program, task, core);
    try {
      await proxy.listening();
      await proxy.answers();
      await proxy.#scraper?.begun();
    } catch (error) {
      await proxy.stop();
      throw error;
    }
    return proxy;
  }

  get pid(): number {
    return this.#process.pid!;
  }

  /** Throws if its admin endpoint has not been scraped as it should. */
  checkScrapes(): void {
    this.#scraper?.check();
  }

  /** The pids of all its processes. */
  processes(): number[] {
    return processTree(this.pid);
  }

  /** Waits until a TCP connection is accepted; returns `performance.now()` at that moment. */
  async listening(): Promise<number> {
    const deadline = this.started + 15_000;
    while (performance.now() < deadline) {
      if (this.#process.exitCode !== null) break;
      if (await isAccepted({ host: "127.0.0.1", port: this.task.port })) return performance.now();
      await pause(1);
    }
    throw new Error(`${this.program.title} does not listen: ${this.#stderr.trim()}`);
  }

  /** Waits until a request is answered; returns `performance.now()` at that moment. */
  async answers(): Promise<number> {
    const socket = connectTls({
      ...{ host: "127.0.0.1", port: this.task.port },
      ...{ servername: "localhost", rejectUnauthorized: false },
    });
    socket.write("GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    const [answer] = await within(once(socket, "data"), `an answer from ${this.program.title}`);
    socket.destroy();
    if (!String(answer).startsWith("HTTP/1.1 200")) {
      throw new Error(`${this.program.title} answers ${String(answer).split("\r\n")[0]}`);
    }
    return performance.now();
  }

  /** Waits until the work has settled: its CPU time no longer grows. */
  async settle(): Promise<void> {
    const STILL = 100;
    const processes = this.processes();
    let before = cpuTime(processes);
    for (let i = 0; i < 50; i++) {
      await pause(20);
      const now = cpuTime(processes);
      if (now - before < STILL) return;
      before = now;
    }
  }

  stop(): Promise<void> {
    this.#scraper?.stop();
    return stopServer(this.#process);
  }
}

let loads = 0;

/** Returns an address that no earlier load used, so no connection is in TIME_WAIT there. */
export function freshEndpoint(port: number): Endpoint {
  loads++;
  return { host: `127.${100 + (loads >> 16)}.${(loads >> 8) & 255}.${loads & 255}`, port };
}

/** Whether a TCP connection is accepted there. */
async function isAccepted(endpoint: Endpoint): Promise<boolean> {
  const socket = connect(endpoint);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
