/** Thousands of idle connections, spread over several processes. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { within } from "../../tests/support/until.ts";
import type { HolderAnswer, HolderCommand } from "./holder.ts";

/** Connections per process: less than half of the usual 20,000 descriptors. */
const EACH = 8000;

/** Time limit for one command, in milliseconds. */
const PATIENCE = 240_000;

export class Holders {
  readonly #children: ChildProcess[] = [];

  /**
   * Opens connections that each make one request. Each process connects to a different loopback
   * address, because the client would run out of ports otherwise. Throws if a connection gets no
   * answer.
   */
  async open(port: number, count: number): Promise<void> {
    const opening: Promise<void>[] = [];
    for (let left = count; left > 0; left -= EACH) {
      const child = fork(join(import.meta.dirname, "holder.ts"), { stdio: "inherit" });
      this.#children.push(child);
      const at = { host: `127.0.1.${this.#children.length}`, port };
      opening.push(send(child, { do: "open", at, count: Math.min(left, EACH) }));
    }
    await Promise.all(opening);
  }

  /** Throws unless every connection answers one more request. */
  async ask(): Promise<void> {
    for (const child of this.#children) await send(child, { do: "ask" });
  }

  async close(): Promise<void> {
    const children = this.#children.splice(0);
    await Promise.all(children.map(async (child) => {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await within(ended, "the exit of a process that held connections");
    }));
  }
}

async function send(child: ChildProcess, command: HolderCommand): Promise<void> {
  const answered = once(child, "message");
  child.send(command);
  const [{ error }] = await within(answered, `${command.do} connections`, PATIENCE) as [
    HolderAnswer,
  ];
  if (error) throw new Error(error);
}
