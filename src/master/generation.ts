import type { Order, StapleOrder, StartOrder } from "../control/messages.ts";
import { UsageError } from "../errors.ts";
import type { Log, LogEntry } from "../log.ts";
import { Slot, type SlotWorker } from "./slot.ts";
import type { WorkerExit } from "./worker_process.ts";

/** A slot that nobody serves for this long has its queue served by another worker as well. */
const ADOPT_AFTER_MS = 1000;

/** What a generation needs of the master. */
export interface GenerationEvents {
  spawn(slot: number): SlotWorker;
  /** What a worker staples from its first connection on. */
  staples(): readonly StapleOrder[];
  log: Log;
  /** The last worker of a generation that was retired or ended is gone. */
  empty(generation: Generation): void;
}

/** The workers of one configuration, and who serves whose queue while one is away. */
export class Generation {
  /** 1 for the first. */
  readonly number: number;
  readonly slots: readonly Slot[];
  private readonly events: GenerationEvents;
  /** Workers' queues can be served by others. */
  private readonly adopt: boolean;
  private started: { resolve(): void; reject(error: UsageError): void } | undefined;
  private isEnding = false;

  constructor(
    number: number,
    orders: readonly StartOrder[],
    adopt: boolean,
    events: GenerationEvents,
  ) {
    this.number = number;
    this.adopt = adopt;
    this.events = events;
    this.slots = orders.map((order) =>
      new Slot(order.slot, order, {
        spawn: () => events.spawn(order.slot),
        staples: () => events.staples(),
        ready: (slot) => this.slotReady(slot),
        exited: (slot, pid, exit, delay) => this.workerExited(slot, pid, exit, delay),
        failed: (slot, message) => this.workerFailed(slot, message),
        log: events.log,
      })
    );
  }

  /** Fulfilled when all workers accept; rejected with a UsageError when one cannot serve. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.started = { resolve, reject };
      for (const slot of this.slots) slot.fill();
    });
  }

  /** Its workers accept no more and leave with their last connections. */
  retire(): void {
    this.isEnding = true;
    for (const slot of this.slots) slot.retire();
    this.tellEmpty();
  }

  /** Ends its workers. */
  end(signal: "SIGTERM" | "SIGKILL"): void {
    this.isEnding = true;
    for (const slot of this.slots) slot.empty(signal);
    this.tellEmpty();
  }

  get isEmpty(): boolean {
    return this.slots.every((slot) => slot.isEmpty);
  }

  /** What holds from now on for all its workers, also those to come. */
  update(change: Partial<StartOrder>, order: Order): void {
    for (const slot of this.slots) slot.update(change, order);
  }

  /** Every second: are all workers alive, and is every queue served? */
  check(): void {
    for (const slot of this.slots) slot.check();
    if (!this.adopt || this.isEnding) return;
    for (const slot of this.slots) {
      if (slot.isServing) this.release(slot);
      else if (slot.age > ADOPT_AFTER_MS && !slot.adopter?.isServing) this.findAdopter(slot);
    }
  }

  private slotReady(slot: Slot): void {
    const pid = slot.pid ?? 0;
    this.note("info", "worker-started", `serves, pid ${pid}`, { worker: slot.number, pid });
    this.release(slot);
    // Its successor knows nothing of the queues that the last worker served for others.
    for (const orphan of this.slots) if (orphan.adopter === slot) orphan.adopter = undefined;
    if (!this.started || !this.slots.every((each) => each.isServing)) return;
    this.started.resolve();
    this.started = undefined;
  }

  private workerExited(
    slot: Slot,
    pid: number,
    exit: WorkerExit,
    delay: number | undefined,
  ): void {
    if (delay === undefined) return this.tellEmpty();
    if (this.started) return this.workerFailed(slot, `it ended at once (${describe(exit)})`);
    const when = delay === 0 ? "at once" : `in ${delay} ms`;
    const message = `pid ${pid} ended (${describe(exit)}); its successor starts ${when}`;
    this.note("error", "worker-exited", message, {
      worker: slot.number,
      pid,
      ...(exit.code === null ? {} : { code: exit.code }),
      ...(exit.signal === null ? {} : { signal: exit.signal }),
    });
  }

  private workerFailed(slot: Slot, reason: string): void {
    const worker = slot.number;
    if (!this.started) {
      return this.note("error", "worker-failed", `cannot serve: ${reason}`, { worker });
    }
    const { reject } = this.started;
    this.started = undefined;
    this.end("SIGKILL");
    reject(new UsageError(`worker ${worker} cannot serve: ${reason}`));
  }

  private findAdopter(orphan: Slot): void {
    const adopter = this.slots.find((slot) => slot.isServing);
    if (!adopter) return;
    // An adopter that hangs itself finds this when it goes on.
    this.release(orphan);
    orphan.adopter = adopter;
    adopter.send({ type: "adopt", slots: orphan.serves });
    const message = `is away; worker ${adopter.number} serves its queue as well`;
    this.note("warn", "slot-adopted", message, {
      worker: orphan.number,
      adopter: adopter.number,
    });
  }

  private release(slot: Slot): void {
    slot.adopter?.send({ type: "release", slots: slot.serves });
    slot.adopter = undefined;
  }

  private tellEmpty(): void {
    if (this.isEnding && this.isEmpty) this.events.empty(this);
  }

  private note(
    level: LogEntry["level"],
    event: string,
    message: string,
    facts: LogEntry["facts"],
  ): void {
    this.events.log({ level, event, message, facts });
  }
}

function describe({ code, signal }: WorkerExit): string {
  return signal ? `signal ${signal}` : `status ${code}`;
}
