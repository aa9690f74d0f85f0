import type { LimitCommand, WorkerCommand, WorkerEvent } from "../../worker_protocol/messages.ts";
import { AwaitedAnswer } from "./awaited_answer.ts";
import type { SlotWorker } from "./watched_worker.ts";
import type { WorkerExit } from "./worker_process.ts";

/**
 * Divides the total limit of connections among all workers, including those of older
 * configurations. The sum never exceeds the total: what one worker gives up, another gets after the
 * first has acknowledged it.
 */
export class ConnectionQuotas {
  private limit = Infinity;
  private readonly members = new Set<Member>();
  /** All were asked for their connections, and not all have answered. */
  private isPolling = false;

  /** Sets the total; Infinity is no limit. A lower one is reached as connections close. */
  set total(connections: number) {
    this.limit = connections;
    this.distribute();
  }

  /**
   * Adds a worker that is about to start; its configuration has `workers` of them. Returns a wrapper
   * for its slot, through which its commands and events pass.
   */
  admit(worker: SlotWorker, workers: number): SlotWorker {
    const quota = Math.min(Math.floor(this.limit / workers), this.unassigned);
    const member = new Member(worker, quota, {
      ready: () => this.check(),
      draining: () => this.distribute(),
      answered: () => this.answered(),
      exited: () => {
        this.members.delete(member);
        this.distribute();
      },
    });
    this.members.add(member);
    return member;
  }

  /**
   * Called every second, and when a worker starts to accept: asks all workers for their connections
   * and divides the total again.
   */
  check(): void {
    if (this.limit === Infinity) return this.distribute();
    // A worker has not answered since the last call.
    if (this.isPolling) this.rebalance();
    this.isPolling = true;
    for (const member of this.members) {
      if (member.isReady && !member.isAwaited) member.assign(member.quota);
    }
  }

  private answered(): void {
    if (!this.isPolling || [...this.members].some(({ isAwaited }) => isAwaited)) {
      return this.raiseQuotas();
    }
    this.isPolling = false;
    this.rebalance();
  }

  private rebalance(): void {
    this.setTargets();
    for (const member of this.members) {
      const { isAccepting, isAwaited, quota, target } = member;
      if (isAccepting && !isAwaited && target < quota) member.assign(target);
    }
    this.raiseQuotas();
  }

  /** Distributes what has become free; taking from others waits for their next answers. */
  private distribute(): void {
    this.setTargets();
    this.raiseQuotas();
  }

  /** The part of the total that is assigned to no worker. */
  private get unassigned(): number {
    if (this.limit === Infinity) return Infinity;
    const assigned = [...this.members].reduce((sum, { ceiling }) => sum + ceiling, 0);
    return Math.max(0, this.limit - assigned);
  }

  /**
   * Sets the targets of the workers that accept. One that has used up its quota may need any number,
   * the others their connections and some headroom; all get equal shares unless they need less, and
   * the rest is divided equally.
   */
  private setTargets(): void {
    const sharing = [...this.members].filter((each) => each.isAccepting);
    if (this.limit === Infinity) {
      for (const each of sharing) each.target = Infinity;
      return;
    }
    let remaining = this.limit;
    for (const each of this.members) if (!each.isAccepting) remaining -= each.ceiling;
    remaining = Math.max(0, remaining);
    const headroom = Math.max(1, Math.floor(remaining / sharing.length / HEADROOM_DIVISOR));
    const need = ({ used, quota }: Member) => used >= quota ? Infinity : used + headroom;
    sharing.sort((a, b) => need(a) === need(b) ? 0 : need(a) - need(b));
    for (const [i, each] of sharing.entries()) {
      each.target = Math.min(need(each), Math.floor(remaining / (sharing.length - i)));
      remaining -= each.target;
    }
    for (const [i, each] of sharing.entries()) {
      const more = Math.floor(remaining / (sharing.length - i));
      each.target += more;
      remaining -= more;
    }
  }

  /** Raises quotas to their targets as far as others have given up theirs. */
  private raiseQuotas(): void {
    let available = this.unassigned;
    for (const member of this.members) {
      const { isAccepting, isAwaited, quota, ceiling, target } = member;
      if (!isAccepting || isAwaited || target <= quota) continue;
      const granted = Math.min(target, ceiling + available);
      if (granted <= quota) continue;
      if (available !== Infinity) available -= Math.max(0, granted - ceiling);
      member.assign(granted);
    }
  }
}

/** The headroom of a worker, for new clients, is an equal share divided by this. */
const HEADROOM_DIVISOR = 8;

interface MemberEvents {
  /** It accepts connections. */
  ready(): void;
  /** It accepts no more, and may have given up something. */
  draining(): void;
  /** It has reported its connections, and may have given up something. */
  answered(): void;
  exited(): void;
}

/** A worker's process with its quota. */
class Member implements SlotWorker {
  onEvent: (event: WorkerEvent) => void = () => {};
  onExit: (exit: WorkerExit) => void = () => {};
  /** The last one that was sent. */
  quota: number;
  /** Maximum number of connections that it can have now. */
  ceiling: number;
  /** What its quota is to become. */
  target: number;
  /** Connections at its last answer. */
  used = 0;
  isReady = false;
  /** The outstanding answer to the last `limit`. */
  private awaited: AwaitedAnswer | undefined;
  private limits = 0;
  private isDraining = false;
  private readonly worker: SlotWorker;
  private readonly events: MemberEvents;

  constructor(worker: SlotWorker, quota: number, events: MemberEvents) {
    this.worker = worker;
    this.quota = this.ceiling = this.target = quota;
    this.events = events;
    worker.onEvent = (event) => this.reported(event);
    worker.onExit = (exit) => {
      events.exited();
      this.onExit(exit);
    };
  }

  get pid(): number | undefined {
    return this.worker.pid;
  }

  /** It has not acknowledged its quota yet. */
  get isAwaited(): boolean {
    return this.awaited !== undefined;
  }

  /** It has started and does not drain. */
  get isAccepting(): boolean {
    return this.isReady && !this.isDraining;
  }

  send(command: WorkerCommand): void {
    if (command.type === "ping") this.awaited?.beforePing();
    this.worker.send(
      command.type === "start" ? { ...command, ...connections(this.quota) } : command,
    );
    if (command.type === "drain") this.drain();
  }

  offer(command: WorkerCommand): boolean {
    return this.worker.offer(command);
  }

  kill(signal: "SIGTERM" | "SIGKILL"): void {
    this.worker.kill(signal);
  }

  /** Sends it a quota. */
  assign(quota: number): void {
    this.quota = quota;
    this.ceiling = Math.max(this.ceiling, quota);
    const command = { type: "limit", number: ++this.limits, ...connections(quota) } as const;
    this.awaited = new AwaitedAnswer(() => this.worker.send(command));
  }

  private reported(event: WorkerEvent): void {
    // A repeated command is answered twice; the second answer may follow the next command.
    const isAnswer = event.type === "limited" && event.number === this.limits && this.isAwaited;
    if (isAnswer) this.answered(event.open);
    if (event.type === "ready") {
      this.isReady = true;
      this.events.ready();
    }
    this.onEvent(event);
  }

  /** A worker that reports more than it is allowed gains nothing by that. */
  private answered(open: number): void {
    this.awaited = undefined;
    this.used = Math.min(open, this.ceiling);
    this.ceiling = Math.max(this.used, this.quota);
    if (this.isDraining) {
      this.releaseQuota();
      this.events.draining();
    }
    this.events.answered();
  }

  private drain(): void {
    this.isDraining = true;
    this.releaseQuota();
    this.events.draining();
  }

  /** It accepts no more, so it needs only the connections that it has. */
  private releaseQuota(): void {
    this.target = 0;
    if (this.isReady && !this.isAwaited && this.quota > 0) this.assign(0);
  }
}

function connections(quota: number): Pick<LimitCommand, "connections"> {
  return quota === Infinity ? {} : { connections: quota };
}
