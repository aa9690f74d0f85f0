import { afterReading, type Clock, systemClock } from "../base/clock.ts";
import {
  type ChildRuntime,
  ControlledProcess,
  type ProcessExit,
} from "../control/child_process.ts";
import type { Log } from "../base/log_entry.ts";
import { logChannelFaults } from "../log/channel_faults.ts";
import { exitText } from "../control/exit_text.ts";
import { STORE_ARGUMENT } from "./command_line.ts";
import type { StoreEntry, TicketStore } from "./store_keys.ts";
import {
  parseStoreEvent,
  type StoreCommand,
  type StoreEvent,
  type StoreStart,
} from "./store_messages.ts";

/** The helper's process, seen from the master. */
export type StoreProcess = Pick<
  ControlledProcess<StoreCommand, StoreEvent>,
  "onEvent" | "onExit" | "send" | "kill"
>;

/** Maximum time for an answer; the helper's own time limits are shorter. */
const ANSWER_LIMIT_MS = 12_000;

interface Question {
  resolve(values: readonly (string | null)[]): void;
  reject(error: Error): void;
}

/** Uses the ticket store through a helper process, which it starts when needed. */
export class StoreHelper implements TicketStore {
  private readonly settings: Omit<StoreStart, "type">;
  private readonly spawn: () => StoreProcess;
  private readonly clock: Clock;
  private process: StoreProcess | undefined;
  private readonly questions = new Map<number, Question>();
  private asked = 0;
  /** How a process exited while no question was pending; the next question fails with it. */
  private end: string | undefined;
  private stopped: (() => void) | undefined;

  /** `spawn` throws an Error if it cannot start a process. */
  constructor(
    settings: Omit<StoreStart, "type">,
    spawn: () => StoreProcess,
    clock: Clock = systemClock,
  ) {
    this.settings = settings;
    this.spawn = spawn;
    this.clock = clock;
  }

  async get(names: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    const values = await this.ask((number) => ({ type: "get", number, names }));
    return names.map((_, i) => {
      const value = values[i] ?? null;
      return value === null ? undefined : Buffer.from(value, "base64");
    });
  }

  async set(entries: readonly StoreEntry[]): Promise<void> {
    const sealed = entries.map(({ value, ...entry }) => ({
      ...entry,
      value: Buffer.from(value).toString("base64"),
    }));
    await this.ask((number) => ({ type: "set", number, entries: sealed }));
  }

  /** Kills the helper, which has no state to lose. */
  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.stopped = resolve;
      if (!this.process) return resolve();
      this.process.kill("SIGKILL");
    });
  }

  private ask(command: (number: number) => StoreCommand): Promise<readonly (string | null)[]> {
    return new Promise((resolve, reject) => {
      const number = ++this.asked;
      const { end } = this;
      this.end = undefined;
      if (end !== undefined) throw new Error(end);
      this.process ??= this.start();
      this.questions.set(number, { resolve, reject });
      this.process.send(command(number));
      afterReading(this.clock, ANSWER_LIMIT_MS, () => {
        if (!this.questions.has(number)) return;
        this.fail("its helper did not answer");
        this.process?.kill("SIGKILL");
      });
    });
  }

  /** Throws an Error if no process can be started, or after {@link stop}. */
  private start(): StoreProcess {
    if (this.stopped) throw new Error("it was stopped");
    const process = this.spawn();
    process.onEvent = (report) => {
      const question = this.questions.get(report.number);
      this.questions.delete(report.number);
      if (report.type === "values") question?.resolve(report.values);
      else question?.reject(new Error(report.reason));
    };
    process.onExit = (exit: ProcessExit) => {
      this.process = undefined;
      const end = `its helper ended (${exitText(exit)})`;
      if (this.questions.size === 0) this.end = end;
      this.fail(end);
      this.stopped?.();
    };
    process.send({ type: "start", ...this.settings });
    return process;
  }

  private fail(reason: string): void {
    const questions = [...this.questions.values()];
    this.questions.clear();
    for (const { reject } of questions) reject(new Error(reason));
  }
}

/** Starts the helper's process. Throws an Error if it cannot. */
export function spawnStore(
  runtime: ChildRuntime,
  log: Log,
): StoreProcess {
  return new ControlledProcess(runtime, {
    words: [STORE_ARGUMENT],
    parse: parseStoreEvent,
    faults: logChannelFaults(log, { subject: "the ticket store's helper", facts: {} }),
  });
}

/** Returns a store's URL without user and password. */
export function shownStore(text: string): string {
  const url = new URL(text);
  url.username = url.password = "";
  return url.href;
}
