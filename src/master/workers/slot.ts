import type { CounterTotals } from "../../base/counters.ts";
import { ACCEPTED } from "../../connection/counters.ts";
import {
  handleSharedEvent,
  type SharedEventHandlers,
  type StartCommand,
  type WorkerCommand,
  type WorkerEvent,
  type WorkerState,
} from "../../worker_protocol/messages.ts";
import type { StapleCommand } from "../../ocsp/staples.ts";
import type { ServedTls } from "../../certificates/served_tls.ts";
import { type Clock, systemClock } from "../../base/clock.ts";
import { type Reported, type SlotWorker, WatchedWorker } from "./watched_worker.ts";
import type { WorkerExit } from "./worker_process.ts";

/** How a worker's process ended, and why. */
export interface Ending extends WorkerExit {
  readonly pid: number;
  /** It had not answered for too long. */
  readonly isHung: boolean;
  /** It was told to go. */
  readonly isExpected: boolean;
  /** The pause in milliseconds before the next worker is started; absent: none follows. */
  readonly delay?: number;
}

/** What a slot needs of its generation. */
export interface SlotEvents {
  spawn(): SlotWorker;
  /** The staples that its next worker has before it accepts. */
  staples(): readonly StapleCommand[];
  /** The slot's worker accepts: the first one, or a successor. */
  ready(slot: Slot): void;
  exited(slot: Slot, ending: Ending): void;
  /** The worker says in one line why it cannot serve; its exit follows. */
  failed(slot: Slot, message: string): void;
  /** What its workers report that does not concern the slot. */
  readonly shared: SharedEventHandlers;
}

export interface SlotOptions {
  /** Seconds without an answer after which a worker is killed; 0 is never. */
  readonly watchdog: number;
  /** Where everything that workers count is added up. */
  readonly totals: CounterTotals;
  readonly clock?: Clock;
}

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;
/** A worker that served this long was healthy: the next crash counts as the first. */
const HEALTHY_AFTER_MS = 60_000;
/** Thousands of certificates take their time. */
const START_LIMIT_MS = 60_000;
/**
 * When a check comes this many milliseconds after the last one, which is to be a second, the master
 * itself was held up: what its workers sent meanwhile is not read yet.
 */
const HELD_UP_MS = 2000;

/** A place for one worker, which is filled again whenever its worker goes. */
export class Slot {
  /** 1 for the first. */
  readonly number: number;
  /** The slot which serves this one's queue while its own worker is away. */
  adopter: Slot | undefined;
  private readonly events: SlotEvents;
  private readonly watchdogMs: number;
  private readonly totals: CounterTotals;
  private command: StartCommand;
  private worker: WatchedWorker | undefined;
  /** The present one, or that which was there before. */
  private last: WatchedWorker | undefined;
  /** They asked for successors and leave with their last connection once those are ready. */
  private readonly predecessors = new Set<WatchedWorker>();
  private acceptedConnections = 0;
  private swaps = 0;
  private crashes = 0;
  private isReady = false;
  private isAnswering = true;
  private isClosed = false;
  private isKept = false;
  private changedAt: number;
  private checkedAt: number;
  /** How long the worker has been starting, in milliseconds in which the master was not held up. */
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
    return this.isReady && this.isAnswering && !this.isClosed;
  }

  /** Connections of all its workers, as they last reported. */
  get open(): number {
    return this.all().reduce((sum, { reported }) => sum + reported.open, 0);
  }

  /** Connections that all its workers have accepted, also those that are gone. */
  get accepted(): number {
    return this.acceptedConnections;
  }

  /** What its worker last reported, or the last one that it had. */
  get reported(): Reported | undefined {
    return this.last?.reported;
  }

  /** Milliseconds since it last began or ceased to serve. */
  get age(): number {
    return this.clock.now() - this.changedAt;
  }

  get isEmpty(): boolean {
    return !this.worker && this.predecessors.size === 0;
  }

  /** Starts the first worker; successors come by themselves. */
  fill(): void {
    if (this.isClosed) return;
    this.changed(false);
    let process: SlotWorker;
    try {
      process = this.events.spawn();
    } catch (error) {
      this.events.failed(this, `no process can be started (${(error as Error).message})`);
      this.refill();
      return;
    }
    const worker = new WatchedWorker(process, this.command.tls.alpn);
    this.worker = this.last = worker;
    process.onEvent = (event) => this.handle(worker, event);
    process.onExit = (exit) => this.workerExited(worker, exit);
    for (const staple of this.events.staples()) process.send(staple);
    process.send(this.command);
  }

  /** A worker that asks for a successor gets none any more; one that dies is followed by another. */
  keepWorker(): void {
    this.isKept = true;
  }

  send(command: WorkerCommand): void {
    this.worker?.process.send(command);
  }

  /** What holds from now on, also for the workers to come. */
  update(change: Partial<StartCommand>, command: WorkerCommand): void {
    this.command = { ...this.command, ...change };
    for (const { process } of this.all()) process.send(command);
  }

  /** New certificates, also for the workers to come. Fulfilled when those there are serve them. */
  async swap(tls: ServedTls): Promise<void> {
    this.command = { ...this.command, tls };
    const command = { type: "tls", number: ++this.swaps, tls } as const;
    await Promise.all(this.all().map((worker) => worker.swap(command)));
  }

  /** Called every second: asks for signs of life and notes whether the last ones came. */
  check(): void {
    const now = this.clock.now();
    const elapsed = now - this.checkedAt;
    const attended = elapsed > HELD_UP_MS ? 0 : elapsed;
    this.checkedAt = now;
    for (const predecessor of this.predecessors) this.watch(predecessor, attended);
    const { worker } = this;
    if (!worker) return;
    if (!this.isReady) {
      this.startingMs += attended;
      if (this.startingMs > START_LIMIT_MS) worker.process.kill("SIGKILL");
      return;
    }
    this.watch(worker, attended);
    const { isAnswering } = worker;
    if (isAnswering === this.isAnswering) return;
    this.isAnswering = isAnswering;
    this.changedAt = now;
  }

  /**
   * Its workers accept no more and leave with their last connections; no others follow. Fulfilled
   * when they have stopped accepting.
   */
  async retire(): Promise<void> {
    this.isClosed = true;
    await Promise.all(this.all().map((worker) => worker.drain()));
  }

  /** Ends its workers with all their connections and does not fill it again. */
  end(): void {
    this.isClosed = true;
    for (const worker of this.all()) worker.leave();
  }

  /** As `end`, for workers that may not listen any more. */
  kill(): void {
    this.isClosed = true;
    for (const { process } of this.all()) process.kill("SIGKILL");
  }

  private all(): WatchedWorker[] {
    return [...this.worker ? [this.worker] : [], ...this.predecessors];
  }

  private handle(worker: WatchedWorker, event: WorkerEvent): void {
    worker.spoke();
    switch (event.type) {
      case "ready":
        return worker === this.worker ? this.workerReady() : undefined;
      case "failed":
        this.events.failed(this, event.message);
        return worker.process.kill("SIGKILL");
      case "retiring":
        return worker === this.worker ? this.replace() : undefined;
      case "swapped":
        return worker.swapped(event.number);
      case "draining":
        this.takeState(worker, event);
        return worker.drained();
      case "pong":
        this.takeState(worker, event);
        return worker.answeredPing();
      // It concerns the worker's share of the connections, which is not the slot's.
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

  private takeState(worker: WatchedWorker, state: WorkerState): void {
    worker.update(state, (place, by) => {
      if (place === ACCEPTED) this.acceptedConnections += by;
      this.totals.add(worker.series(place), by);
    });
  }

  private watch(worker: WatchedWorker, attended: number): void {
    const silence = worker.check(attended);
    if (this.watchdogMs === 0 || silence < this.watchdogMs) return;
    worker.isHung = true;
    worker.process.kill("SIGKILL");
  }

  private workerReady(): void {
    this.changed(true);
    for (const predecessor of this.predecessors) {
      if (!predecessor.isLeaving) void predecessor.drain();
    }
    this.events.ready(this);
  }

  private replace(): void {
    if (this.isClosed || this.isKept) return;
    this.predecessors.add(this.worker!);
    this.worker = undefined;
    this.fill();
  }

  private workerExited(worker: WatchedWorker, exit: WorkerExit): void {
    const { process, isHung, isLeaving } = worker;
    const ending = {
      ...exit,
      pid: process.pid ?? 0,
      isHung,
      isExpected: isLeaving && exit.code === 0,
    };
    worker.exited();
    this.predecessors.delete(worker);
    if (worker !== this.worker) return this.events.exited(this, ending);
    this.worker = undefined;
    if (this.isReady && this.age > HEALTHY_AFTER_MS) this.crashes = 0;
    this.changed(false);
    this.events.exited(this, this.isClosed ? ending : { ...ending, delay: this.refill() });
  }

  /** Starts another worker after the pause, in milliseconds, that is due by now. */
  private refill(): number {
    const pause = this.crashes === 0
      ? 0
      : Math.min(FIRST_PAUSE_MS * 2 ** (this.crashes - 1), MAX_PAUSE_MS);
    this.crashes++;
    this.clock.after(pause, () => this.fill());
    return pause;
  }

  private changed(isReady: boolean): void {
    this.isReady = isReady;
    this.isAnswering = true;
    this.startingMs = 0;
    this.changedAt = this.clock.now();
  }
}
