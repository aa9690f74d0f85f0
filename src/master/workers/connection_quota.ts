import type { LimitCommand, WorkerCommand, WorkerEvent } from "../../worker_protocol/messages.ts";
import { AwaitedAnswer } from "./awaited_answer.ts";
import type { SlotWorker } from "./watched_worker.ts";
import type { WorkerExit } from "./worker_process.ts";

/**
 * Shares the connections which all workers may have together among them, those of older
 * configurations included. At no moment does it allow more than the total: what one worker gives
 * up, another gets when the first has said that it keeps to it.
 */
export class ConnectionQuotas {
  private all = Infinity;
  private readonly members = new Set<Member>();
  /** All were asked what they have, and not all have answered. */
  private isAsking = false;

  /** Infinity is no limit. Less than before is reached as connections end. */
  set total(connections: number) {
    this.all = connections;
    this.settle();
  }

  /**
   * A process that is about to become one of so many workers of its configuration. Returns what its
   * slot sees of it: what it is told and what it tells pass here.
   */
  admit(worker: SlotWorker, workers: number): SlotWorker {
    const quota = Math.min(Math.floor(this.all / workers), this.unpromised);
    const member = new Member(worker, quota, {
      ready: () => this.check(),
      settle: () => this.settle(),
      answered: () => this.answered(),
      exited: () => {
        this.members.delete(member);
        this.settle();
      },
    });
    this.members.add(member);
    return member;
  }

  /**
   * Called every second, and when a worker begins to serve: asks all how many connections they have,
   * and shares anew.
   */
  check(): void {
    if (this.all === Infinity) return this.settle();
    // Somebody has not answered since the last time.
    if (this.isAsking) this.rebalance();
    this.isAsking = true;
    for (const member of this.members) {
      if (member.isReady && !member.isAwaited) member.allot(member.quota);
    }
  }

  private answered(): void {
    if (!this.isAsking || [...this.members].some(({ isAwaited }) => isAwaited)) return this.grant();
    this.isAsking = false;
    this.rebalance();
  }

  private rebalance(): void {
    this.share();
    for (const member of this.members) {
      const { isAccepting, isAwaited, quota, target } = member;
      if (isAccepting && !isAwaited && target < quota) member.allot(target);
    }
    this.grant();
  }

  /** What has become free is shared; to take from others waits for what they have by then. */
  private settle(): void {
    this.share();
    this.grant();
  }

  /** What nobody may have by now. */
  private get unpromised(): number {
    if (this.all === Infinity) return Infinity;
    const promised = [...this.members].reduce((sum, { ceiling }) => sum + ceiling, 0);
    return Math.max(0, this.all - promised);
  }

  /**
   * Sets the targets of those who accept. One that has used up its quota may need any number, the
   * others some more than they have; all get alike unless they need less, and the rest is spread.
   */
  private share(): void {
    const sharing = [...this.members].filter((each) => each.isAccepting);
    if (this.all === Infinity) {
      for (const each of sharing) each.target = Infinity;
      return;
    }
    let left = this.all;
    for (const each of this.members) if (!each.isAccepting) left -= each.ceiling;
    left = Math.max(0, left);
    const spare = Math.max(1, Math.floor(left / sharing.length / SPARE_PART));
    const need = ({ used, quota }: Member) => used >= quota ? Infinity : used + spare;
    sharing.sort((a, b) => need(a) === need(b) ? 0 : need(a) - need(b));
    for (const [i, each] of sharing.entries()) {
      each.target = Math.min(need(each), Math.floor(left / (sharing.length - i)));
      left -= each.target;
    }
    for (const [i, each] of sharing.entries()) {
      const more = Math.floor(left / (sharing.length - i));
      each.target += more;
      left -= more;
    }
  }

  /** Raises quotas to their targets as far as others have given up theirs. */
  private grant(): void {
    let available = this.unpromised;
    for (const member of this.members) {
      const { isAccepting, isAwaited, quota, ceiling, target } = member;
      if (!isAccepting || isAwaited || target <= quota) continue;
      const granted = Math.min(target, ceiling + available);
      if (granted <= quota) continue;
      if (available !== Infinity) available -= Math.max(0, granted - ceiling);
      member.allot(granted);
    }
  }
}

/** A worker that has not used up its quota keeps this part of an equal share for clients to come. */
const SPARE_PART = 8;

interface MemberEvents {
  /** It shares from now on. */
  ready(): void;
  /** It takes nothing more. */
  settle(): void;
  /** It has told what it has, and may have given up something. */
  answered(): void;
  exited(): void;
}

/** A worker's process, between itself and its slot. */
class Member implements SlotWorker {
  onEvent: (event: WorkerEvent) => void = () => {};
  onExit: (exit: WorkerExit) => void = () => {};
  /** The last one that it was told. */
  quota: number;
  /** No more connections than this can it have. */
  ceiling: number;
  /** What its quota ought to be. */
  target: number;
  /** Connections that it had when it last answered. */
  used = 0;
  isReady = false;
  /** Its answer to the last `limit`, until it comes. */
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

  /** It has not yet answered to its quota. */
  get isAwaited(): boolean {
    return this.awaited !== undefined;
  }

  /** It serves, and takes new connections. */
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

  /** Tells it how many connections it may have. */
  allot(quota: number): void {
    this.quota = quota;
    this.ceiling = Math.max(this.ceiling, quota);
    const command = { type: "limit", number: ++this.limits, ...connections(quota) } as const;
    this.awaited = new AwaitedAnswer(() => this.worker.send(command));
  }

  private reported(event: WorkerEvent): void {
    // A repeated command is answered twice, and the second answer may come after the next command.
    const isAnswer = event.type === "limited" && event.number === this.limits && this.isAwaited;
    if (isAnswer) this.answered(event.open);
    if (event.type === "ready") {
      this.isReady = true;
      this.events.ready();
    }
    this.onEvent(event);
  }

  /** It cannot say that it has more than it may, and so cannot take what is others'. */
  private answered(open: number): void {
    this.awaited = undefined;
    this.used = Math.min(open, this.ceiling);
    this.ceiling = Math.max(this.used, this.quota);
    if (this.isDraining) {
      this.giveUp();
      this.events.settle();
    }
    this.events.answered();
  }

  private drain(): void {
    this.isDraining = true;
    this.giveUp();
    this.events.settle();
  }

  /** It takes no more connections: what it has is all that it needs. */
  private giveUp(): void {
    this.target = 0;
    if (this.isReady && !this.isAwaited && this.quota > 0) this.allot(0);
  }
}

function connections(quota: number): Pick<LimitCommand, "connections"> {
  return quota === Infinity ? {} : { connections: quota };
}
