import type { CounterSums, Series } from "../../base/counters.ts";
import { ConnectionCounters, type CountedNames } from "../../connection/counters.ts";
import { residentMemory } from "../../os/resident_memory.ts";
import type { SwapCommand, WorkerState } from "../../worker_protocol/messages.ts";
import type { WorkerStatus } from "../../status/status.ts";
import { AwaitedAnswer } from "./awaited_answer.ts";
import type { WorkerProcess } from "./worker_process.ts";

/** What a slot needs of a worker's process. */
export type SlotWorker = Pick<
  WorkerProcess,
  "pid" | "onEvent" | "onExit" | "send" | "offer" | "kill"
>;

/** A worker's last report about itself. */
export interface Reported {
  readonly pid: number;
  /** Connections that are open. */
  readonly open: number;
  readonly counters: CounterSums;
}

/** An outstanding answer. */
interface Expected {
  readonly answer: AwaitedAnswer;
  /** The command's number. */
  readonly number?: number;
  resolve(): void;
}

/** A worker's process with its last report and its outstanding answers. */
export class WatchedWorker {
  readonly process: SlotWorker;
  private readonly counters: ConnectionCounters;
  private readonly startedAt = new Date().toISOString();
  private openConnections = 0;
  private loopDelayMs = 0;
  private draining: Expected | undefined;
  private swapping: Expected | undefined;
  /** A ping is not answered yet. */
  private isPinged = false;
  private hasReadEvent = false;
  private unansweredMs = 0;
  /** It was asked to drain or to exit. */
  isExitExpected = false;
  /** It was killed because it did not answer. */
  isHung = false;

  /** `counted` is what it counts separately. */
  constructor(process: SlotWorker, counted: CountedNames) {
    this.process = process;
    this.counters = new ConnectionCounters(counted);
  }

  get reported(): Reported {
    const { process, openConnections, counters } = this;
    return { pid: process.pid ?? 0, open: openConnections, counters };
  }

  /** What the status document says about it. */
  get status(): Omit<WorkerStatus, "slot" | "generation" | "state"> {
    const { pid, open, counters } = this.reported;
    return {
      pid,
      startedAt: this.startedAt,
      connections: open,
      accepted: counters.total("connections_accepted_total"),
      residentBytes: residentMemory(pid),
      eventLoopDelaySeconds: this.loopDelayMs / 1000,
    };
  }

  /** It answers pings, or its other events are still being read. */
  get isAnswering(): boolean {
    return this.unansweredMs === 0;
  }

  /** A ping is not answered, and no other event was read since the last check. */
  get isSilent(): boolean {
    return this.isPinged && !this.hasReadEvent;
  }

  /** An event of any type was read. */
  eventRead(): void {
    this.hasReadEvent = true;
  }

  /** Applies its reported state; calls `grown` with each increase. */
  update(
    { open, counters, loopDelayMs = 0 }: WorkerState,
    grown: (series: Series, by: number) => void,
  ): void {
    this.openConnections = open;
    this.loopDelayMs = loopDelayMs;
    this.counters.update(counters, (place, by) => grown(this.counters.series[place]!, by));
  }

  answeredPing(): void {
    this.isPinged = false;
  }

  /**
   * Called every second: pings it unless an answer is outstanding, and returns for how many
   * milliseconds it has not answered. `attendedMs` is the time since the last call in which the
   * master was not stalled. While other events are being read, the answer may be behind them, so
   * that time does not count.
   */
  check(attendedMs: number): number {
    this.unansweredMs = this.isSilent ? this.unansweredMs + attendedMs : 0;
    this.hasReadEvent = false;
    if (!this.isPinged) this.ping();
    return this.unansweredMs;
  }

  /** Drains it. Fulfilled when it accepts no more, or has exited. */
  drain(): Promise<void> {
    this.isExitExpected = true;
    this.draining?.resolve();
    return new Promise((resolve) => {
      const answer = new AwaitedAnswer(() => this.process.send({ type: "drain" }));
      this.draining = { answer, resolve };
    });
  }

  drained(): void {
    this.draining?.resolve();
    this.draining = undefined;
  }

  /** Fulfilled when it uses these certificates, or has exited. */
  swap(command: SwapCommand): Promise<void> {
    this.swapping?.resolve();
    return new Promise((resolve) => {
      const answer = new AwaitedAnswer(() => this.process.send(command));
      this.swapping = { answer, number: command.number, resolve };
    });
  }

  /** It has handled the `tls` command of this number. */
  swapped(number: number): void {
    if (this.swapping?.number !== number) return;
    this.swapping.resolve();
    this.swapping = undefined;
  }

  /** Makes it exit at once, which cuts its connections. */
  exit(): void {
    this.isExitExpected = true;
    this.process.send({ type: "exit" });
  }

  /**
   * It has exited: its answers are no longer waited for, and its connections are closed, which
   * `grown` counts.
   */
  exited(grown: (series: Series, by: number) => void): void {
    const { counters } = this;
    for (const { name, labels } of counters.series) {
      if (name !== "connections_closed_total") continue;
      const open = counters.total("connections_accepted_total", labels) -
        counters.total(name, labels);
      if (open > 0) grown({ name, labels }, open);
    }
    this.draining?.resolve();
    this.swapping?.resolve();
  }

  private ping(): void {
    this.isPinged = true;
    this.draining?.answer.beforePing();
    this.swapping?.answer.beforePing();
    this.process.send({ type: "ping" });
  }
}
