import type {
  BackendEvent,
  StartCommand,
  WorkerCommand,
  WorkerCounts,
} from "../../worker_protocol/messages.ts";
import type { StapleCommand } from "../../ocsp/staples.ts";
import type { ServedTls } from "../../certificates/served_tls.ts";
import type { Log } from "../../base/log_entry.ts";
import type { SessionEvent, SessionFound } from "../../sessions/messages.ts";
import { type Clock, systemClock } from "../../base/clock.ts";
import { Tally, type Told } from "./tally.ts";
import type { WorkerExit, WorkerProcess } from "./worker_process.ts";

/** What a slot needs of a worker's process. */
export type SlotWorker = Pick<
  WorkerProcess,
  "pid" | "onEvent" | "onExit" | "askedAt" | "open" | "send" | "offer" | "kill"
>;

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
  /** What its workers have to say. */
  log: Log;
  /** What they learn of the backend. */
  backend(report: BackendEvent): void;
  /** What they say of sessions, and what they are answered. */
  sessions(report: SessionEvent): SessionFound | undefined;
}

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;
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
  private readonly watchdogMs: number;
  private command: StartCommand;
  private worker: SlotWorker | undefined;
  /** The present one, or that which was there before. */
  private last: SlotWorker | undefined;
  /** They asked for successors and leave with their last connection once those are ready. */
  private readonly predecessors = new Set<SlotWorker>();
  private readonly hung = new Set<SlotWorker>();
  /** Told to accept no more, and what to call when they have obeyed. */
  private readonly draining = new Map<SlotWorker, () => void>();
  /** Told of new certificates, and what to call when they serve them. */
  private readonly swapping = new Map<SlotWorker, () => void>();
  private readonly tally = new Tally<SlotWorker>();
  private crashes = 0;
  private isReady = false;
  private isAnswering = true;
  private isClosed = false;
  private isKept = false;
  private changedAt: number;
  private readonly clock: Clock;

  /** After `watchdog` seconds without an answer a worker is ended; 0 is never. */
  constructor(
    number: number,
    command: StartCommand,
    events: SlotEvents,
    { watchdog, clock = systemClock }: { watchdog: number; clock?: Clock },
  ) {
    this.number = number;
    this.command = command;
    this.events = events;
    this.watchdogMs = watchdog * 1000;
    this.clock = clock;
    this.changedAt = clock.now();
  }

  get pid(): number | undefined {
    return this.worker?.pid;
  }

  /** The slots whose queues its worker serves from the start. */
  get serves(): readonly number[] {
    return this.command.serves;
  }

  /** Its worker accepts connections and answers the master. */
  get isServing(): boolean {
    return this.isReady && this.isAnswering && !this.isClosed;
  }

  /** Connections of all its workers, as they last told. */
  get open(): number {
    return this.all().reduce((sum, { open }) => sum + open, 0);
  }

  /** What all its workers have counted, also those that are gone. */
  get counts(): WorkerCounts {
    return this.tally.total;
  }

  /** What its worker last told, or the last one that it had. */
  get told(): Told | undefined {
    return this.last && this.tally.toldBy(this.last);
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
    let worker: SlotWorker;
    try {
      worker = this.events.spawn();
    } catch (error) {
      this.events.failed(this, `no process can be started (${(error as Error).message})`);
      this.refill();
      return;
    }
    this.worker = this.last = worker;
    worker.onEvent = (report) => {
      switch (report.type) {
        case "ready":
          return worker === this.worker ? this.workerReady() : undefined;
        case "pong":
          worker.askedAt = undefined;
          worker.open = report.open;
          return this.tally.count(worker, report);
        case "failed":
          this.events.failed(this, report.message);
          return worker.kill("SIGKILL");
        case "log":
          return this.events.log(report.entry);
        case "backend-failed":
        case "backend-answers":
          return this.events.backend(report);
        case "session-made":
        case "session-wanted": {
          const found = this.events.sessions(report);
          if (found) worker.offer(found);
          return;
        }
        case "retiring":
          return worker === this.worker ? this.replace() : undefined;
        case "swapped":
          return this.swapping.get(worker)?.();
        case "draining":
          worker.open = report.open;
          this.tally.count(worker, report);
          return this.draining.get(worker)?.();
      }
    };
    worker.onExit = (exit) => this.workerExited(worker, exit);
    for (const staple of this.events.staples()) worker.send(staple);
    worker.send(this.command);
  }

  /** A worker that asks for a successor gets none any more; one that dies is followed by another. */
  keepWorker(): void {
    this.isKept = true;
  }

  send(command: WorkerCommand): void {
    this.worker?.send(command);
  }

  /** What holds from now on, also for the workers to come. */
  update(change: Partial<StartCommand>, command: WorkerCommand): void {
    this.command = { ...this.command, ...change };
    for (const worker of this.all()) worker.send(command);
  }

  /** New certificates, also for the workers to come. Fulfilled when those there are serve them. */
  async swap(tls: ServedTls): Promise<void> {
    this.command = { ...this.command, tls };
    await Promise.all(
      this.all().map((worker) =>
        new Promise<void>((resolve) => {
          this.swapping.set(worker, resolve);
          worker.send({ type: "tls", tls });
        })
      ),
    );
  }

  /** Called every second: asks for signs of life and notes whether the last ones came. */
  check(): void {
    for (const predecessor of this.predecessors) this.ask(predecessor);
    const { worker } = this;
    if (!worker) return;
    if (!this.isReady) {
      if (this.age > START_LIMIT_MS) worker.kill("SIGKILL");
      return;
    }
    const isAnswering = worker.askedAt === undefined;
    if (isAnswering !== this.isAnswering) {
      this.isAnswering = isAnswering;
      this.changedAt = this.clock.now();
    }
    this.ask(worker);
  }

  /**
   * Its workers accept no more and leave with their last connections; no others follow. Fulfilled
   * when they have stopped accepting.
   */
  async retire(): Promise<void> {
    this.isClosed = true;
    await Promise.all(this.all().map((worker) => this.drain(worker)));
  }

  /** Ends its workers with all their connections and does not fill it again. */
  end(): void {
    this.isClosed = true;
    for (const worker of this.all()) {
      this.draining.set(worker, () => {});
      worker.send({ type: "leave" });
    }
  }

  /** As `end`, for workers that may not listen any more. */
  kill(): void {
    this.isClosed = true;
    for (const worker of this.all()) worker.kill("SIGKILL");
  }

  private all(): SlotWorker[] {
    return [...this.worker ? [this.worker] : [], ...this.predecessors];
  }

  private ask(worker: SlotWorker): void {
    const now = this.clock.now();
    if (worker.askedAt === undefined) {
      worker.askedAt = now;
      worker.send({ type: "ping" });
    } else if (this.watchdogMs > 0 && now - worker.askedAt >= this.watchdogMs) {
      this.hung.add(worker);
      worker.kill("SIGKILL");
    }
  }

  /** Fulfilled when it accepts no more, or is gone. */
  private drain(worker: SlotWorker): Promise<void> {
    return new Promise((resolve) => {
      this.draining.set(worker, resolve);
      worker.send({ type: "drain" });
    });
  }

  private workerReady(): void {
    this.changed(true);
    for (const predecessor of this.predecessors) {
      if (!this.draining.has(predecessor)) void this.drain(predecessor);
    }
    this.events.ready(this);
  }

  private replace(): void {
    if (this.isClosed || this.isKept) return;
    this.predecessors.add(this.worker!);
    this.fill();
  }

  private workerExited(worker: SlotWorker, exit: WorkerExit): void {
    const ending = {
      ...exit,
      pid: worker.pid ?? 0,
      isHung: this.hung.delete(worker),
      isExpected: this.draining.has(worker) && exit.code === 0,
    };
    for (const waiting of [this.draining, this.swapping]) {
      waiting.get(worker)?.();
      waiting.delete(worker);
    }
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
    this.changedAt = this.clock.now();
  }
}
