import type { Order, StapleOrder, StartOrder } from "../control/messages.ts";
import type { Log } from "../log.ts";
import { type Clock, systemClock } from "../clock.ts";
import type { WorkerExit, WorkerProcess } from "./worker_process.ts";

/** What a slot needs of a worker's process. */
export type SlotWorker = Pick<
  WorkerProcess,
  "pid" | "onReport" | "onExit" | "isAwaitingPong" | "send" | "kill"
>;

/** What a slot needs of its generation. */
export interface SlotEvents {
  spawn(): SlotWorker;
  /** The staples that its next worker has before it accepts. */
  staples(): readonly StapleOrder[];
  /** The slot's worker accepts: the first one, or a successor. */
  ready(slot: Slot): void;
  /** `delay` is the pause in milliseconds before the next worker is started; absent: none follows. */
  exited(slot: Slot, pid: number, exit: WorkerExit, delay: number | undefined): void;
  /** The worker says in one line why it cannot serve; its exit follows. */
  failed(slot: Slot, message: string): void;
  /** What its workers have to say. */
  log: Log;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
/** A worker that served this long was healthy: the next crash counts as the first. */
const HEALTHY_AFTER_MS = 60_000;
/** Thousands of certificates take their time. */
const START_LIMIT_MS = 60_000;

/** A place for one worker, which is filled again whenever its worker goes. */
export class Slot {
  /** 1 for the first. */
  readonly number: number;
  /** The slot which serves this one's queue while its own worker is away. */
  adopter: Slot | undefined;
  private readonly events: SlotEvents;
  private order: StartOrder;
  private worker: SlotWorker | undefined;
  /** Asked for a successor and serves until that one is ready. */
  private predecessor: SlotWorker | undefined;
  private crashes = 0;
  private isReady = false;
  private isAnswering = true;
  private isClosed = false;
  private changedAt: number;
  private readonly clock: Clock;

  constructor(number: number, order: StartOrder, events: SlotEvents, clock = systemClock) {
    this.number = number;
    this.order = order;
    this.events = events;
    this.clock = clock;
    this.changedAt = clock.now();
  }

  get pid(): number | undefined {
    return this.worker?.pid;
  }

  /** The slots whose queues its worker serves from the start. */
  get serves(): readonly number[] {
    return this.order.serves;
  }

  /** Its worker accepts connections and answers the master. */
  get isServing(): boolean {
    return this.isReady && this.isAnswering && !this.isClosed;
  }

  /** Milliseconds since it last began or ceased to serve. */
  get age(): number {
    return this.clock.now() - this.changedAt;
  }

  /** Starts the first worker; successors come by themselves. */
  fill(): void {
    if (this.isClosed) return;
    this.changed(false);
    let worker: SlotWorker;
    try {
      worker = this.events.spawn();
    } catch (error) {
      this.events.failed(this, `no process can be started (${(error as Error).message})`);
      this.refill();
      return;
    }
    this.worker = worker;
    worker.onReport = (report) => {
      switch (report.type) {
        case "ready":
          return worker === this.worker ? this.workerReady() : undefined;
        case "pong":
          worker.isAwaitingPong = false;
          return;
        case "failed":
          this.events.failed(this, report.message);
          return worker.kill("SIGKILL");
        case "log":
          return this.events.log(report.entry);
        case "retiring":
          return worker === this.worker ? this.replace() : undefined;
      }
    };
    worker.onExit = (exit) => this.workerExited(worker, exit);
    for (const staple of this.events.staples()) worker.send(staple);
    worker.send(this.order);
  }

  send(order: Order): void {
    this.worker?.send(order);
  }

  /** What holds from now on, also for the workers to come. */
  update(change: Partial<StartOrder>, order: Order): void {
    this.order = { ...this.order, ...change };
    this.worker?.send(order);
    this.predecessor?.send(order);
  }

  /** Called every second: asks for a sign of life and notes whether the last one came. */
  check(): void {
    const { worker } = this;
    if (!worker) return;
    if (!this.isReady) {
      if (this.age > START_LIMIT_MS) worker.kill("SIGKILL");
      return;
    }
    if (worker.isAwaitingPong === this.isAnswering) {
      this.isAnswering = !worker.isAwaitingPong;
      this.changedAt = this.clock.now();
    }
    if (worker.isAwaitingPong) return;
    worker.isAwaitingPong = true;
    worker.send({ type: "ping" });
  }

  /** Its workers accept no more and leave with their last connections; no others follow. */
  retire(): void {
    this.isClosed = true;
    this.worker?.send({ type: "drain" });
    this.predecessor?.send({ type: "drain" });
  }

  /** Ends its workers and does not fill it again. */
  empty(signal: "SIGTERM" | "SIGKILL"): void {
    this.isClosed = true;
    this.worker?.kill(signal);
    this.predecessor?.kill(signal);
  }

  get isEmpty(): boolean {
    return !this.worker && !this.predecessor;
  }

  private workerReady(): void {
    this.changed(true);
    this.predecessor?.send({ type: "drain" });
    this.events.ready(this);
  }

  private replace(): void {
    if (this.isClosed) return;
    this.predecessor = this.worker;
    this.fill();
  }

  private workerExited(worker: SlotWorker, exit: WorkerExit): void {
    if (worker === this.predecessor) this.predecessor = undefined;
    if (worker === this.worker) {
      this.worker = undefined;
      if (this.isReady && this.age > HEALTHY_AFTER_MS) this.crashes = 0;
      this.changed(false);
      this.events.exited(this, worker.pid ?? 0, exit, this.isClosed ? undefined : this.refill());
    } else if (this.isClosed) {
      this.events.exited(this, worker.pid ?? 0, exit, undefined);
    }
  }

  /** Starts another worker after the pause, in milliseconds, that is due by now. */
  private refill(): number {
    const pause = this.crashes === 0
      ? 0
      : Math.min(FIRST_PAUSE_MS * 2 ** (this.crashes - 1), LONGEST_PAUSE_MS);
    this.crashes++;
    this.clock.after(pause, () => this.fill());
    return pause;
  }

  private changed(isReady: boolean): void {
    this.isReady = isReady;
    this.isAnswering = true;
    this.changedAt = this.clock.now();
  }
}
