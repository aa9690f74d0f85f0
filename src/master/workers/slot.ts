import type { CounterTotals, Series } from "../../base/counters.ts";
import type { EXIT_REASONS } from "../counters.ts";
import {
  handleSharedEvent,
  type SharedEventHandlers,
  type StartCommand,
  type WorkerCommand,
  type WorkerEvent,
  type WorkerState,
} from "../../worker_protocol/messages.ts";
import type { WorkerStatus } from "../../status/status.ts";
import type { StapleCommand } from "../../ocsp/staples.ts";
import type { ServedTls } from "../../certificates/served_tls.ts";
import { afterReading, type Clock, systemClock } from "../../base/clock.ts";
import { type Reported, type SlotWorker, WatchedWorker } from "./watched_worker.ts";
import type { WorkerExit } from "./worker_process.ts";

/** How a worker's process exited, and why. */
export interface ExitDetails extends WorkerExit {
  readonly pid: number;
  /** The watchdog killed it. */
  readonly isHung: boolean;
  /** It was asked to exit, and did so in order. */
  readonly isExpected: boolean;
  /** Milliseconds until the next worker is started; absent: none follows. */
  readonly delay?: number;
}

/** What a slot needs of its generation. */
export interface SlotEvents {
  spawn(): SlotWorker;
  /** Returns the staples that a new worker gets before it accepts. */
  staples(): readonly StapleCommand[];
  /** The slot's worker accepts: the first one, or a successor. */
  ready(slot: Slot): void;
  exited(slot: Slot, exit: ExitDetails): void;
  /** A worker cannot start; `message` is one line. */
  failed(slot: Slot, message: string): void;
  /** The handlers of events that do not concern the slot. */
  readonly shared: SharedEventHandlers;
}

/** What the status document says about a worker, apart from its place. */
export type SlotWorkerStatus = Omit<WorkerStatus, "slot" | "generation">;

const NO_WORKER = {
  pid: 0,
  connections: 0,
  accepted: 0,
  residentBytes: 0,
  eventLoopDelaySeconds: 0,
} as const;

export interface SlotOptions {
  /** Seconds without an answer after which a worker is killed; 0: never. */
  readonly watchdog: number;
  /** The sums of all that workers count. */
  readonly totals: CounterTotals;
  readonly clock?: Clock;
}

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;
/** After this time of service the next crash counts as the first. */
const HEALTHY_AFTER_MS = 60_000;
/** Maximum time to start; thousands of certificates take long. */
const START_LIMIT_MS = 60_000;
/**
 * Checks are a second apart; if one comes later than this many milliseconds, the master itself was
 * stalled, and what its workers sent meanwhile is not read yet.
 */
const STALLED_MS = 2000;

/** The place of one worker, which is replaced whenever it exits. */
export class Slot {
  /** 1 for the first. */
  readonly number: number;
  /** The slot whose worker serves this one's queue while its own worker is unavailable. */
  adopter: Slot | undefined;
  private readonly events: SlotEvents;
  private readonly watchdogMs: number;
  private readonly totals: CounterTotals;
  private command: StartCommand;
  private worker: WatchedWorker | undefined;
  /** The current worker, or the one before it. */
  private last: WatchedWorker | undefined;
  /** Workers that asked for a successor; they drain once it is ready. */
  private readonly predecessors = new Set<WatchedWorker>();
  private acceptedConnections = 0;
  private swaps = 0;
  private crashes = 0;
  private isReady = false;
  private isAnswering = true;
  private isDraining = false;
  private refusesSuccessor = false;
  private changedAt: number;
  private checkedAt: number;
  /** Milliseconds since the worker's start in which the master was not stalled. */
  private startingMs = 0;
  private readonly clock: Clock;

  constructor(
    number: number,
    command: StartCommand,
    events: SlotEvents,
    { watchdog, totals, clock = systemClock }: SlotOptions,
  ) {
    this.number = number;
    this.command = command;
    this.events = events;
    this.watchdogMs = watchdog * 1000;
    this.totals = totals;
    this.clock = clock;
    this.changedAt = this.checkedAt = clock.now();
  }

  get pid(): number | undefined {
    return this.worker?.process.pid;
  }

  /** The slots whose queues its worker serves from the start. */
  get serves(): readonly number[] {
    return this.command.serves;
  }

  /** Its worker accepts connections and answers the master. */
  get isServing(): boolean {
    return this.isReady && this.isAnswering && !this.isDraining;
  }

  /** Connections of all its workers, as last reported. */
  get open(): number {
    return this.all().reduce((sum, { reported }) => sum + reported.open, 0);
  }

  /** Connections accepted by all its workers so far, including those that have exited. */
  get accepted(): number {
    return this.acceptedConnections;
  }

  /** The last report of its worker, or of the one before it. */
  get reported(): Reported | undefined {
    return this.last?.reported;
  }

  /** Its workers for the status document: the current one first, then those that drain. */
  workers(): SlotWorkerStatus[] {
    const { worker } = this;
    const current: SlotWorkerStatus = worker
      ? { ...worker.status, state: this.state }
      : { ...NO_WORKER, state: "exited" };
    const draining = [...this.predecessors].map(({ status }): SlotWorkerStatus => ({
      ...status,
      state: "draining",
    }));
    if (!worker && this.isDraining) return draining;
    return [current, ...draining];
  }

  /** Milliseconds since {@link isServing} last changed. */
  get age(): number {
    return this.clock.now() - this.changedAt;
  }

  get isEmpty(): boolean {
    return !this.worker && this.predecessors.size === 0;
  }

  /** Starts a worker; the slot starts all further ones itself. */
  start(): void {
    if (this.isDraining) return;
    this.changed(false);
    let process: SlotWorker;
    try {
      process = this.events.spawn();
    } catch (error) {
      this.events.failed(this, `no process can be created (${(error as Error).message})`);
      this.restart();
      return;
    }
    this.totals.add({ name: "worker_starts_total", labels: {} }, 1);
    const worker = new WatchedWorker(process, this.command.counted);
    this.worker = this.last = worker;
    process.onEvent = (event) => this.handle(worker, event);
    process.onExit = (exit) => this.workerExited(worker, exit);
    for (const staple of this.events.staples()) process.send(staple);
    process.send(this.command);
  }

  /**
   * A worker that asks for a successor no longer gets one; one that crashes is still replaced. A
   * successor that is starting exits: its predecessor still accepts.
   */
  refuseSuccessor(): void {
    this.refusesSuccessor = true;
    if (!this.isReady && this.predecessors.size > 0) this.worker?.exit();
  }

  send(command: WorkerCommand): void {
    this.worker?.process.send(command);
  }

  /** Sends a command to its workers; `change` does the same for those to come. */
  update(change: Partial<StartCommand>, command: WorkerCommand): void {
    this.command = { ...this.command, ...change };
    for (const { process } of this.all()) process.send(command);
  }

  /** Sets new certificates, also for workers to come. Fulfilled when the current ones use them. */
  async swap(tls: ServedTls): Promise<void> {
    this.command = { ...this.command, tls };
    const command = { type: "tls", number: ++this.swaps, tls } as const;
    await Promise.all(this.all().map((worker) => worker.swap(command)));
  }

  /** Called every second: pings its workers and notes which of them have not answered. */
  check(): void {
    const now = this.clock.now();
    const elapsed = now - this.checkedAt;
    const attendedMs = elapsed > STALLED_MS ? 0 : elapsed;
    this.checkedAt = now;
    for (const predecessor of this.predecessors) this.watch(predecessor, attendedMs);
    const { worker } = this;
    if (!worker) return;
    if (!this.isReady) {
      this.startingMs += attendedMs;
      if (this.startingMs > START_LIMIT_MS) this.startTooLong(worker);
      return;
    }
    this.watch(worker, attendedMs);
    const { isAnswering } = worker;
    if (isAnswering === this.isAnswering) return;
    this.isAnswering = isAnswering;
    this.changedAt = now;
  }

  /** Drains its workers; no others follow. Fulfilled when they accept no more. */
  async drain(): Promise<void> {
    this.isDraining = true;
    await Promise.all(this.all().map((worker) => worker.drain()));
  }

  /** Cuts all connections: its workers exit at once, and no others follow. */
  cut(): void {
    this.isDraining = true;
    for (const worker of this.all()) worker.exit();
  }

  /** Like `cut`, for workers that may no longer read commands. */
  kill(): void {
    this.isDraining = true;
    for (const { process } of this.all()) process.kill("SIGKILL");
  }

  private all(): WatchedWorker[] {
    return [...this.worker ? [this.worker] : [], ...this.predecessors];
  }

  private handle(worker: WatchedWorker, event: WorkerEvent): void {
    worker.eventRead();
    switch (event.type) {
      case "ready":
        return worker === this.worker && !worker.isExitExpected ? this.workerReady() : undefined;
      case "failed":
        this.events.failed(this, event.message);
        return worker.process.kill("SIGKILL");
      case "successor-wanted":
        return worker === this.worker ? this.replace() : undefined;
      case "swapped":
        return worker.swapped(event.number);
      case "draining":
        this.applyState(worker, event);
        return worker.drained();
      case "pong":
        this.applyState(worker, event);
        return worker.answeredPing();
      // It concerns the connection quota, which the slot does not handle.
      case "limited":
        return;
      default:
        return handleSharedEvent(
          this.events.shared,
          event,
          (command) => void worker.process.offer(command),
        );
    }
  }

  private applyState(worker: WatchedWorker, state: WorkerState): void {
    worker.update(state, this.grown);
  }

  private readonly grown = (series: Series, by: number): void => {
    if (series.name === "connections_accepted_total") this.acceptedConnections += by;
    this.totals.add(series, by);
  };

  private get state(): SlotWorkerStatus["state"] {
    if (!this.isReady) return "starting";
    if (!this.isAnswering) return "silent";
    return this.isDraining ? "draining" : "serving";
  }

  private watch(worker: WatchedWorker, attendedMs: number): void {
    const unansweredMs = worker.check(attendedMs);
    if (this.watchdogMs === 0 || unansweredMs < this.watchdogMs) return;
    afterReading(this.clock, 0, () => {
      if (!worker.isSilent) return;
      worker.isHung = true;
      worker.process.kill("SIGKILL");
    });
  }

  private startTooLong(worker: WatchedWorker): void {
    // Once for each worker.
    this.startingMs = 0;
    afterReading(this.clock, 0, () => {
      if (worker !== this.worker || this.isReady) return;
      const seconds = START_LIMIT_MS / 1000;
      this.events.failed(this, `it does not accept connections after ${seconds} s`);
      worker.process.kill("SIGKILL");
    });
  }

  private workerReady(): void {
    this.changed(true);
    for (const predecessor of this.predecessors) {
      if (!predecessor.isExitExpected) void predecessor.drain();
    }
    this.events.ready(this);
  }

  private replace(): void {
    if (this.isDraining || this.refusesSuccessor) return;
    this.predecessors.add(this.worker!);
    this.worker = undefined;
    this.start();
  }

  private workerExited(worker: WatchedWorker, exit: WorkerExit): void {
    const { process, isHung, isExitExpected } = worker;
    const details = {
      ...exit,
      pid: process.pid ?? 0,
      isHung,
      isExpected: isExitExpected && exit.code === 0,
    };
    worker.exited(this.grown);
    this.totals.add({ name: "worker_exits_total", labels: { reason: reasonOf(details) } }, 1);
    this.predecessors.delete(worker);
    if (worker !== this.worker) return this.events.exited(this, details);
    this.worker = undefined;
    if (this.isReady && this.age > HEALTHY_AFTER_MS) this.crashes = 0;
    this.changed(false);
    const isLast = this.isDraining || details.isExpected;
    this.events.exited(this, isLast ? details : { ...details, delay: this.restart() });
  }

  /** Starts another worker after the pause that is due, and returns it in milliseconds. */
  private restart(): number {
    const pause = this.crashes === 0
      ? 0
      : Math.min(FIRST_PAUSE_MS * 2 ** (this.crashes - 1), MAX_PAUSE_MS);
    this.crashes++;
    this.clock.after(pause, () => this.start());
    return pause;
  }

  private changed(isReady: boolean): void {
    this.isReady = isReady;
    this.isAnswering = true;
    this.startingMs = 0;
    this.changedAt = this.clock.now();
  }
}

function reasonOf({ isExpected, isHung, signal }: ExitDetails): (typeof EXIT_REASONS)[number] {
  if (isExpected) return "requested";
  if (isHung) return "watchdog";
  return signal === null ? "error" : "signal";
}
