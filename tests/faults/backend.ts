/** The backend, in a separate process that can be stopped, killed and restarted. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Endpoint } from "../support/endpoints.ts";
import { within } from "../support/until.ts";

/** What the first byte of a connection asks the backend to do with the rest of it. */
export const BackendKind = {
  /** Sends back everything that follows. */
  echo: 0x45,
  /** Keeps reading, never answers. */
  silent: 0x4e,
  /** Reads one byte each second. */
  slow: 0x53,
  /** Sends endlessly. */
  flood: 0x46,
} as const;

export class FaultBackend {
  readonly endpoint: Endpoint;
  #process: ChildProcess;

  private constructor(child: ChildProcess, endpoint: Endpoint) {
    this.#process = child;
    this.endpoint = endpoint;
  }

  /** Listens on a port of the address that the kernel chooses. */
  static async start(host: string): Promise<FaultBackend> {
    const { child, port } = await spawn(host, 0);
    return new FaultBackend(child, { host, port });
  }

  /** SIGSTOP: the kernel still accepts, but nothing answers. SIGCONT: continues. */
  signal(name: "SIGSTOP" | "SIGCONT"): void {
    this.#process.kill(name);
  }

  /** Closes the connections that it reads slowly, and drops what they still contain. */
  endSlow(): void {
    this.#process.send("end slow");
  }

  async kill(): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await within(ended, "the backend exits");
  }

  /** Restarts it at the same address after `kill`. */
  async restart(): Promise<void> {
    const { host, port } = this.endpoint;
    this.#process = (await spawn(host, port)).child;
  }

  destroy(): void {
    this.#process.kill("SIGKILL");
  }
}

async function spawn(host: string, port: number): Promise<{ child: ChildProcess; port: number }> {
  const words = [host, String(port)];
  const child = fork(join(import.meta.dirname, "backend_process.ts"), words, { execArgv: [] });
  try {
    const [chosen] = await within(once(child, "message"), "the backend listens") as [number];
    return { child, port: chosen };
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}
