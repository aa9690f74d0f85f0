import { inTime } from "../../base/in_time.ts";
import type { CounterTotals } from "../../base/counters.ts";
import type {
  SharedEventHandlers,
  StartCommand,
  WorkerCommand,
} from "../../worker_protocol/messages.ts";
import type { StapleCommand } from "../../ocsp/staples.ts";
import type { ServedTls } from "../../certificates/served_tls.ts";
import { UsageError } from "../../base/errors.ts";
import type { Log, LogEntry } from "../../base/log_entry.ts";
import { CrashReports, describe } from "./crash_reports.ts";
import { type Ending, Slot } from "./slot.ts";
import type { SlotWorker } from "./watched_worker.ts";

/** A slot that nobody serves for this long has its queue served by another worker as well. */
const ADOPT_AFTER_MS = 1000;
/** How long workers may take to say that they have obeyed. */
const ACKNOWLEDGE_LIMIT_MS = 2000;
/** How long workers may take to end at once. */
const END_LIMIT_MS = 2000;

/** What a generation needs of the master. */
export interface GenerationEvents {
  spawn(slot: number): SlotWorker;
  /** What workers report that does not concern their slots. */
  readonly shared: SharedEventHandlers;
  /** What a worker staples from its first connection on. */
  staples(): readonly StapleCommand[];
  log: Log;
  /** A worker has begun to serve. */
  ready(slot: Slot): void;
  /** The last worker of a generation that was retired or ended is gone. */
  empty(generation: Generation): void;
}

export interface GenerationOptions {
  /** Workers' queues can be served by others. */
  readonly adopt: boolean;
  /** Seconds without an answer after which a worker is ended; 0 is never. */
  readonly watchdog: number;
  /** Where everything that workers count is added up. */
  readonly totals: CounterTotals;
}

/** The workers of one configuration, and who serves whose queue while one is away. */
export class Generation {
  /** 1 for the first. */
  readonly number: number;
  readonly slots: readonly Slot[];
  private readonly events: GenerationEvents;
  private readonly adopt: boolean;
  private readonly crashes: ReadonlyMap<Slot, CrashReports>;
  private started: { resolve(): void; reject(error: UsageError): void } | undefined;
  private isRetired = false;
  private isEnding = false;

  constructor(
    number: number,
    commands: readonly StartCommand[],
    { adopt, watchdog, totals }: GenerationOptions,
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
        exited: (slot, ending) => this.workerExited(slot, ending),
        failed: (slot, message) => this.workerFailed(slot, message),
        shared: events.shared,
      }, { watchdog, totals })
    );
    this.crashes = new Map(this.slots.map((slot) => [slot, new CrashReports(slot.number)]));
  }

  /** Fulfilled when all workers accept; rejected with a UsageError when one cannot serve. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.started = { resolve, reject };
      for (const slot of this.slots) slot.fill();
    });
  }

  /**
   * Its workers accept no more and leave with their last connections. Fulfilled when they have
   * stopped accepting; one that does not answer is waited for for two seconds.
   */
  async retire(): Promise<void> {
    this.isRetired = true;
    const acknowledged = this.slots.map((slot) => slot.retire());
    this.tellEmpty();
    await inTime(acknowledged, ACKNOWLEDGE_LIMIT_MS);
  }

  /** New certificates for new connections. Fulfilled as `retire` when its workers serve them. */
  async swap(tls: ServedTls): Promise<void> {
    await inTime(this.slots.map((slot) => slot.swap(tls)), ACKNOWLEDGE_LIMIT_MS);
  }

  /** A worker that asks for a successor gets none any more. */
  keepWorkers(): void {
    for (const slot of this.slots) slot.keepWorker();
  }

  /** Ends its workers with all their connections. */
  end(): void {
    if (this.isEnding) return;
    this.isRetired = this.isEnding = true;
    for (const slot of this.slots) slot.end();
    setTimeout(() => this.slots.forEach((slot) => slot.kill()), END_LIMIT_MS).unref();
    this.tellEmpty();
  }

  get isEmpty(): boolean {
    return this.slots.every((slot) => slot.isEmpty);
  }

  /** Connections of all its workers, as they last told. */
  get open(): number {
    return this.slots.reduce((sum, slot) => sum + slot.open, 0);
  }

  /** What holds from now on for all its workers, also those to come. */
  update(change: Partial<StartCommand>, command: WorkerCommand): void {
    for (const slot of this.slots) slot.update(change, command);
  }

  /** Every second: are all workers alive, and is every queue served? */
  check(): void {
    for (const slot of this.slots) {
      slot.check();
      const entry = this.crashes.get(slot)!.due();
      if (entry) this.events.log(entry);
    }
    if (!this.adopt || this.isRetired) return;
    for (const slot of this.slots) {
      if (slot.isServing) this.release(slot);
      else if (slot.age > ADOPT_AFTER_MS && !slot.adopter?.isServing) this.findAdopter(slot);
    }
  }

  private slotReady(slot: Slot): void {
    const pid = slot.pid ?? 0;
    this.noteUnlessLoop(slot, "info", "worker-started", `serves, pid ${pid}`, { pid });
    this.events.ready(slot);
    this.release(slot);
    // Its successor knows nothing of the queues that the last worker served for others.
    for (const orphan of this.slots) if (orphan.adopter === slot) orphan.adopter = undefined;
    if (!this.started || !this.slots.every((each) => each.isServing)) return;
    this.started.resolve();
    this.started = undefined;
  }

  private workerExited(slot: Slot, ending: Ending): void {
    const isOrderly = this.isEnding || ending.isExpected;
    if (this.started && !isOrderly) {
      return this.workerFailed(slot, `it ended at once (${describe(ending)})`);
    }
    const entry = isOrderly ? undefined : this.crashes.get(slot)!.crashed(ending);
    if (entry) this.events.log(entry);
    this.tellEmpty();
  }

  private workerFailed(slot: Slot, reason: string): void {
    if (!this.started) {
      return this.noteUnlessLoop(slot, "error", "worker-failed", `cannot serve: ${reason}`, {});
    }
    const { reject } = this.started;
    this.started = undefined;
    this.isRetired = this.isEnding = true;
    for (const each of this.slots) each.kill();
    this.tellEmpty();
    reject(new UsageError(`worker ${slot.number} cannot serve: ${reason}`));
  }

  private findAdopter(orphan: Slot): void {
    const adopter = this.slots.find((slot) => slot.isServing);
    if (!adopter) return;
    // An adopter that hangs itself finds this when it goes on.
    this.release(orphan);
    orphan.adopter = adopter;
    adopter.send({ type: "adopt", slots: orphan.serves });
    const message = `is away; worker ${adopter.number} serves its queue as well`;
    this.noteUnlessLoop(orphan, "warn", "slot-adopted", message, { adopter: adopter.number });
  }

  private release(slot: Slot): void {
    slot.adopter?.send({ type: "release", slots: slot.serves });
    slot.adopter = undefined;
  }

  private tellEmpty(): void {
    if (this.isRetired && this.isEmpty) this.events.empty(this);
  }

  /** Where a worker ends again and again, that is told once a minute, and nothing else of it. */
  private noteUnlessLoop(
    slot: Slot,
    level: LogEntry["level"],
    event: string,
    message: string,
    facts: LogEntry["facts"],
  ): void {
    if (this.crashes.get(slot)!.isLoop) return;
    this.events.log({ level, event, message, facts: { worker: slot.number, ...facts } });
  }
}
