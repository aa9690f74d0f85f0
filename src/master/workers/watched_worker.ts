import type { CounterSums } from "../../base/counters.ts";
import { ConnectionCounters } from "../../connection/counters.ts";
import type { SwapCommand, WorkerState } from "../../worker_protocol/messages.ts";
import { AwaitedAnswer } from "./awaited_answer.ts";
import type { WorkerProcess } from "./worker_process.ts";

/** What a slot needs of a worker's process. */
export type SlotWorker = Pick<
  WorkerProcess,
  "pid" | "onEvent" | "onExit" | "send" | "offer" | "kill"
>;

/** What a worker last reported of itself. */
export interface Reported {
  readonly pid: number;
  /** Connections that are open. */
  readonly open: number;
  readonly counters: CounterSums;
}

/** An answer that somebody waits for. */
interface Expected {
  readonly answer: AwaitedAnswer;
  /** Of the command. */
  readonly number?: number;
  resolve(): void;
}

/** A worker's process with what it last reported, and what the master waits for. */
export class WatchedWorker {
  readonly process: SlotWorker;
  private readonly counters: ConnectionCounters;
  private openConnections = 0;
  private draining: Expected | undefined;
  private swapping: Expected | undefined;
  /** A ping has no answer yet. */
  private isPinged = false;
  private hasSpoken = false;
  private silentMs = 0;
  /** It was asked to exit. */
  isLeaving = false;
  /** It was killed because it did not answer. */
  isHung = false;

  /** `alpn` lists the protocols that it negotiates. */
  constructor(process: SlotWorker, alpn: readonly string[]) {
    this.process = process;
    this.counters = new ConnectionCounters(alpn);
  }

  get reported(): Reported {
    const { process, openConnections, counters } = this;
    return { pid: process.pid ?? 0, open: openConnections, counters };
  }

  /** It answers pings, or its other events are still being read. */
  get isAnswering(): boolean {
    return this.silentMs === 0;
  }

  /** An event of any type was read. */
  spoke(): void {
    this.hasSpoken = true;
  }

  /** It reports its state; `grown` as for `CounterSet.update`. */
  update(
    { open, counters }: WorkerState,
    grown: (place: number, by: number) => void,
  ): void {
    this.openConnections = open;
    this.counters.update(counters, grown);
  }

  /** A place's name and labels. */
  series(place: number) {
    return this.counters.series[place]!;
  }

  answeredPing(): void {
    this.isPinged = false;
  }

  /**
   * Called every second: pings it unless it has not answered yet, and returns how long it has been
   * silent, in milliseconds. For `attendedMs` of the time since the last call the master itself was
   * not held up. A worker whose events are being read is not silent: its answer comes behind them.
   */
  check(attendedMs: number): number {
    this.silentMs = this.isPinged && !this.hasSpoken ? this.silentMs + attendedMs : 0;
    this.hasSpoken = false;
    if (!this.isPinged) this.ping();
    return this.silentMs;
  }

  /** Fulfilled when it accepts no more, or has exited. */
  drain(): Promise<void> {
    this.isLeaving = true;
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

  /** Fulfilled when it serves these certificates, or has exited. */
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

  leave(): void {
    this.isLeaving = true;
    this.process.send({ type: "leave" });
  }

  /** Nobody waits for it any more. */
  exited(): void {
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
