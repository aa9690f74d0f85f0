import { inTime } from "../../base/in_time.ts";
import { type Clock, systemClock } from "../../base/clock.ts";
import type { CounterTotals } from "../../base/counters.ts";
import type {
  SharedEventHandlers,
  StartCommand,
  WorkerCommand,
} from "../../worker_protocol/messages.ts";
import type { StapleCommand } from "../../ocsp/staples.ts";
import type { ServedTls } from "../../certificates/served_tls.ts";
import { UsageError } from "../../base/errors.ts";
import type { EventName } from "../../base/events.ts";
import type { Log, LogEntry } from "../../base/log_entry.ts";
import type { WorkerCrashes } from "../../status/problems.ts";
import { CrashReports, describeExit } from "./crash_reports.ts";
import { type ExitDetails, Slot } from "./slot.ts";
import type { SlotWorker } from "./watched_worker.ts";

/** Time after which another worker also serves the queue of a slot that is not served. */
const ADOPT_AFTER_MS = 1000;
/** Maximum wait for workers to acknowledge a command. */
const ACKNOWLEDGE_LIMIT_MS = 2000;
/** Time that workers have to exit before they are killed. */
const EXIT_LIMIT_MS = 2000;

/** What a generation needs of the master. */
export interface GenerationEvents {
  spawn(slot: number): SlotWorker;
  /** The handlers of events that do not concern the slots. */
  readonly shared: SharedEventHandlers;
  /** Returns what a new worker staples from its first connection on. */
  staples(): readonly StapleCommand[];
  log: Log;
  /** A worker accepts connections. */
  ready(slot: Slot): void;
  /** The last worker of a generation that drains or was cut has exited. */
  empty(generation: Generation): void;
}

export interface GenerationOptions {
  /** A worker can serve the queues of other slots. */
  readonly adopt: boolean;
  /** Seconds without an answer after which a worker is killed; 0: never. */
  readonly watchdog: number;
  /** The sums of all that workers count. */
  readonly totals: CounterTotals;
  readonly clock?: Clock;
}

/** The workers of one configuration; while one is unavailable, another serves its queue. */
export class Generation {
  /** 1 for the first. */
  readonly number: number;
  readonly slots: readonly Slot[];
  private readonly events: GenerationEvents;
  private readonly adopt: boolean;
  private readonly crashes: ReadonlyMap<Slot, CrashReports>;
  private started: { resolve(): void; reject(error: UsageError): void } | undefined;
  private isDraining = false;
  private isCut = false;
  /** Slots whose workers were killed before they served. */
  private readonly killed = new Set<Slot>();

  constructor(
    number: number,
    commands: readonly StartCommand[],
    { adopt, watchdog, totals, clock = systemClock }: GenerationOptions,
    events: GenerationEvents,
  ) {
    this.number = number;
    this.adopt = adopt;
    this.events = events;
    this.slots = commands.map((command) =>
      new Slot(command.slot, command, {
        spawn: () => events.spawn(command.slot),
        staples: () => events.staples(),
        ready: (slot) => this.slotReady(slot),
        exited: (slot, exit) => this.workerExited(slot, exit),
        failed: (slot, message) => this.workerFailed(slot, message),
        shared: events.shared,
      }, { watchdog, totals, clock })
    );
    this.crashes = new Map(this.slots.map((slot) => [slot, new CrashReports(slot.number)]));
  }

  /** Fulfilled when all workers accept; rejected with a UsageError if one cannot start. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.started = { resolve, reject };
      for (const slot of this.slots) slot.start();
    });
  }

  /**
   * Drains its workers. Fulfilled when they accept no more, or after two seconds if one does not
   * answer.
   */
  async drain(): Promise<void> {
    this.isDraining = true;
    const acknowledged = this.slots.map((slot) => slot.drain());
    this.notifyEmpty();
    await inTime(acknowledged, ACKNOWLEDGE_LIMIT_MS);
  }

  /**
   * Sets certificates for new connections, also for workers to come. Fulfilled like `drain`, with
   * the number of slots whose workers use them.
   */
  async swap(tls: ServedTls): Promise<number> {
    let swapped = 0;
    const all = this.slots.map(async (slot) => {
      await slot.swap(tls);
      if (slot.isServing) swapped++;
    });
    await inTime(all, ACKNOWLEDGE_LIMIT_MS);
    return swapped;
  }

  /** A worker that asks for a successor no longer gets one. */
  refuseSuccessors(): void {
    for (const slot of this.slots) slot.refuseSuccessor();
  }

  /** Cuts all connections: its workers exit at once and are not replaced. */
  cut(): void {
    if (this.isCut) return;
    this.isDraining = this.isCut = true;
    for (const slot of this.slots) slot.cut();
    setTimeout(() => this.slots.forEach((slot) => slot.kill()), EXIT_LIMIT_MS).unref();
    this.notifyEmpty();
  }

  get isEmpty(): boolean {
    return this.slots.every((slot) => slot.isEmpty);
  }

  /** Whether at least one of its workers accepts connections and answers. */
  get isServing(): boolean {
    return this.slots.some((slot) => slot.isServing);
  }

  /** The crashes of its workers in the last minutes. */
  get recentCrashes(): WorkerCrashes[] {
    return this.slots.flatMap((slot) => {
      const recent = this.crashes.get(slot)!.recent;
      return recent ? [{ worker: slot.number, ...recent }] : [];
    });
  }

  /** Connections of all its workers, as last reported. */
  get open(): number {
    return this.slots.reduce((sum, slot) => sum + slot.open, 0);
  }

  /** Sends a command to all its workers; `change` does the same for those to come. */
  update(change: Partial<StartCommand>, command: WorkerCommand): void {
    for (const slot of this.slots) slot.update(change, command);
  }

  /** Called every second: checks that all workers answer and every queue is served. */
  check(): void {
    for (const slot of this.slots) {
      slot.check();
      const entry = this.crashes.get(slot)!.due();
      if (entry) this.events.log(entry);
    }
    if (!this.adopt || this.isDraining || this.started) return;
    for (const slot of this.slots) {
      if (slot.isServing) this.release(slot);
      else if (slot.age > ADOPT_AFTER_MS && !slot.adopter?.isServing) this.findAdopter(slot);
    }
  }

  private slotReady(slot: Slot): void {
    const pid = slot.pid ?? 0;
    this.logUnlessLoop(slot, "info", "worker-started", `accepting connections, pid ${pid}`, {
      pid,
    });
    this.events.ready(slot);
    this.release(slot);
    // The new worker does not serve the queues that the last one served for others.
    for (const orphan of this.slots) if (orphan.adopter === slot) orphan.adopter = undefined;
    if (!this.started || !this.slots.every((each) => each.isServing)) return;
    this.started.resolve();
    this.started = undefined;
  }

  private workerExited(slot: Slot, exit: ExitDetails): void {
    const isOrderly = this.isCut || exit.isExpected || this.killed.has(slot);
    if (this.started && !isOrderly) {
      return this.workerFailed(slot, `it exited during its start (${describeExit(exit)})`);
    }
    const entry = isOrderly ? undefined : this.crashes.get(slot)!.crashed(exit);
    if (entry) this.events.log(entry);
    this.notifyEmpty();
  }

  private workerFailed(slot: Slot, reason: string): void {
    if (!this.started) {
      return this.logUnlessLoop(slot, "error", "worker-failed", `cannot start: ${reason}`, {});
    }
    const { reject } = this.started;
    this.started = undefined;
    this.isDraining = true;
    for (const each of this.slots) this.giveUp(each);
    this.notifyEmpty();
    reject(new UsageError(`worker ${slot.number} cannot start: ${reason}`));
  }

  /** Its worker may already have clients, whose connections must survive another worker's failure. */
  private giveUp(slot: Slot): void {
    if (slot.isServing) return void slot.drain();
    this.killed.add(slot);
    slot.kill();
  }

  private findAdopter(orphan: Slot): void {
    const adopter = this.slots.find((slot) => slot.isServing);
    if (!adopter) return;
    // A previous adopter that hangs handles this when it continues.
    this.release(orphan);
    orphan.adopter = adopter;
    adopter.send({ type: "adopt", slots: orphan.serves });
    const message = `is unavailable; worker ${adopter.number} also serves its queue`;
    this.logUnlessLoop(orphan, "warn", "slot-adopted", message, { adopter: adopter.number });
  }

  private release(slot: Slot): void {
    slot.adopter?.send({ type: "release", slots: slot.serves });
    slot.adopter = undefined;
  }

  private notifyEmpty(): void {
    if (this.isDraining && this.isEmpty) this.events.empty(this);
  }

  /** Logs unless the worker is in a crash loop, which is logged once a minute. */
  private logUnlessLoop(
    slot: Slot,
    level: LogEntry["level"],
    event: EventName,
    message: string,
    facts: LogEntry["facts"],
  ): void {
    if (this.crashes.get(slot)!.isLoop) return;
    this.events.log({ level, event, message, facts: { worker: slot.number, ...facts } });
  }
}
